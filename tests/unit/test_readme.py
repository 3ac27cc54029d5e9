"""What the README says is so: settings, links, lines of source, commands, folders, benchmarks. Its tour is in e2e."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import rich_click as click

from rollbook import reference
from rollbook.__main__ import main
from servicekit.settings import Settings
from tests.bench.__main__ import BENCHMARKS
from tests.support import readme
from tests.support.readme import ROOT

README = readme.read()
#: How far a line may have moved since `make fmt` put it right: so far that the reader still sees what is meant.
IN_SIGHT_LINES = 15
#: What stands in backticks or in a block, which is where commands are named.
CODE = "\n".join([*re.findall(r"`([^`\n]+)`", README), *(block.text for block in readme.blocks(README))])


def test_every_setting_is_in_the_readme_as_the_program_describes_it() -> None:
    assert reference.markdown() in README, "put in what `rollbook settings --markdown` prints"


def test_every_setting_has_an_effect_somewhere() -> None:
    sources = "\n".join(
        path.read_text() for folder in ("services", "libs") for path in (ROOT / folder).rglob("*.py")
        if path.name != "environment.py"
    )  # fmt: skip
    unused = [name for name in Settings.__struct_fields__ if not re.search(rf"(settings|self)\.{name}\b", sources)]
    assert unused == []


def test_every_reference_leads_to_where_the_definition_it_names_is_in_sight() -> None:
    references = readme.references(README)
    assert len(references) > 10
    assert len(references) == README.count("#L"), "a reference that is not written like the others is not checked"
    lost = [each for each in references if abs(readme.line_of(each.path, each.symbol) - each.line) > IN_SIGHT_LINES]
    assert lost == [], "`make fmt` puts the lines right"


def test_lines_are_put_right() -> None:
    moved = re.sub(r"(?<=\.py):\d+`\]\((\S+)#L\d+", r":7`](\1#L7", README)
    assert moved.count("#L7)") > 10
    assert readme.renewed(moved) == readme.renewed(README)
    assert all(readme.line_of(each.path, each.symbol) == each.line for each in readme.references(readme.renewed(moved)))


def test_the_way_of_a_command_is_walked_in_five_files() -> None:
    steps = re.findall(r"^\d\. .*?(?=^\d\. |^$)", readme.section("Follow one command from route to row"), re.M | re.S)
    assert len(steps) == 5
    assert all(readme.references(step) for step in steps)


@pytest.mark.parametrize("document", ["README.md", "libs/contacts/README.md"])
def test_every_link_leads_somewhere(document: str) -> None:
    path = ROOT / document
    text = path.read_text()
    for link in readme.links(text):
        target, _, anchor = unquote(link).partition("#")
        assert (path.parent / target).exists(), link
        if not target:
            assert anchor in readme.anchors(text), link


def test_every_command_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", CODE))
    assert {"run", "test", "bench"} <= named <= targets


def test_every_command_of_rollbook_exists() -> None:
    named = re.findall(r"\brollbook ((?:[a-z]+ ?)+)((?:--[a-z-]+ ?)*)", CODE)
    assert len(named) > 5
    for words, options in named:
        command = _command(words.split())
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(options.split()) <= known, (words, options)


def _command(words: list[str]) -> click.Command:
    found: click.Command = main
    for word in words:
        if not isinstance(found, click.Group):
            break  # the rest are arguments
        inner = found.get_command(click.Context(found), word)
        assert inner is not None, f"there is no `rollbook {' '.join(words)}`"
        found = inner
    return found


def test_every_folder_that_is_told_of_exists_and_no_package_is_left_out() -> None:
    told = set(_told())
    assert [path for path in told if not (ROOT / path).is_dir()] == []
    packages = {
        path.parent.relative_to(ROOT) for top in ("libs", "services") for path in (ROOT / top).glob("*/__init__.py")
    }
    assert packages <= told


def _told() -> Iterator[Path]:
    (tree,) = readme.blocks(readme.section("What is where"))
    top = Path()
    for line in tree.text.splitlines():
        name = line.split()[0]
        if line.startswith(" "):
            yield top / name
        else:
            top = Path(name)
            yield top


def test_every_benchmark_is_named() -> None:
    text = readme.section("Benchmarks")
    assert [name for name in BENCHMARKS if name not in text] == []


def test_what_is_left_out_of_shown_output_may_be_anything() -> None:
    assert readme.fits('{"id":"…",…}\n…  v1', '{"id":"0190","version":1}\n  0.3   contact.created    v1  \n')
    assert not readme.fits('{"id":"…"}', '{"id":"0190"}\nTraceback')
    assert not readme.fits("1 …", "11")
