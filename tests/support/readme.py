"""The README as tests read it: sections, blocks of code, references to source. `python -m tests.support.readme` puts
the line numbers of its references right, which `make fmt` does as well."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
#: Stands in shown output for whatever was left out there.
ELLIPSIS: Final = "…"

_BLOCK: Final = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_REFERENCE: Final = re.compile(
    r"\[`(?P<shown>[^`\]]+):(?P<line>\d+)`\]\((?P<path>[^)#]+)#L(?P=line)\) `(?P<symbol>[^`]+)`"
)
_LINK: Final = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


class Reference(NamedTuple):
    """A line of source, and the definition that must stand there."""

    path: str
    line: int
    symbol: str


def read() -> str:
    return README.read_text(encoding="utf-8")


def section(title: str) -> str:
    """What stands under a heading of the second level. Raises LookupError."""
    _, found, rest = read().partition(f"\n## {title}\n")
    if not found:
        raise LookupError(title)
    return rest.partition("\n## ")[0]


def blocks(text: str) -> list[Block]:
    return [Block(match["language"], match["text"]) for match in _BLOCK.finditer(text)]


def links(text: str) -> Iterator[str]:
    for match in _LINK.finditer(_BLOCK.sub("", text)):
        yield match["target"]


def anchors(text: str) -> set[str]:
    """What links to headings may name."""
    titles = (match["title"].lower() for match in _HEADING.finditer(_BLOCK.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def references(text: str) -> list[Reference]:
    return [Reference(match["path"], int(match["line"]), match["symbol"]) for match in _REFERENCE.finditer(text)]


def line_of(path: str, symbol: str) -> int:
    """Where a symbol is defined: a class, function or `Class.method` of Python, a text of anything else.

    Raises LookupError.
    """
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".py"):
        return _definition(ast.parse(text), symbol.split("."))
    for number, line in enumerate(text.splitlines(), 1):
        if symbol in line:
            return number
    raise LookupError(f"{path} has no {symbol}")


def _definition(tree: ast.Module | ast.ClassDef, names: list[str]) -> int:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == names[0]:
            if len(names) == 1:
                return node.lineno
            if isinstance(node, ast.ClassDef):
                return _definition(node, names[1:])
    raise LookupError(".".join(names))


def renewed(text: str) -> str:
    """The text with the line of every reference as it is now. Raises LookupError, FileNotFoundError."""

    def renew(match: re.Match[str]) -> str:
        path, symbol = match["path"], match["symbol"]
        line = line_of(path, symbol)
        return f"[`{match['shown']}:{line}`]({path}#L{line}) `{symbol}`"

    return _REFERENCE.sub(renew, text)


def fits(shown: str, output: str) -> bool:
    """Whether output is as it is shown, where `…` stands for anything; spaces count once, at line ends not at all."""
    pattern = ".*?".join(re.escape(part) for part in _evened(shown).split(ELLIPSIS))
    return re.fullmatch(pattern, _evened(output), re.DOTALL) is not None


def _evened(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


if __name__ == "__main__":
    README.write_text(renewed(read()), encoding="utf-8")
