"""The container files name what exists: settings, modules, commands, files. No container is started here."""

from __future__ import annotations

import importlib.util
import re
from pathlib import PurePath
from typing import Any

import pytest
import yaml

from rollbook import nats_config
from rollbook.__main__ import COMMANDS
from rollbook.embedded.permissions import SERVICES
from servicekit.settings import Settings
from tests.support.readme import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "rollbook"}


def test_every_service_of_ours_is_composed() -> None:
    packages = {path.name.removeprefix("contacts_") for path in (ROOT / "services").glob("contacts_*")}
    assert packages | {"migrate"} == OURS.keys()


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_a_service_runs_a_module_or_command_that_exists(service: dict[str, Any]) -> None:
    program, *arguments = service["command"]
    if program == "python":
        assert arguments[0] == "-m"
        assert importlib.util.find_spec(f"{arguments[1]}.__main__") is not None
    else:
        assert (program, arguments[0] in COMMANDS) == ("rollbook", True)


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_a_service_is_given_settings_that_exist(service: dict[str, Any]) -> None:
    assert {name.removeprefix("ROLLBOOK_").lower() for name in service["environment"]} <= set(
        Settings.__struct_fields__
    )


def test_every_name_inside_the_compose_file_is_defined_there() -> None:
    for service in COMPOSE["services"].values():
        assert set(service.get("depends_on", {})) <= COMPOSE["services"].keys()
        assert {mount.partition(":")[0] for mount in service.get("volumes", [])} <= COMPOSE["volumes"].keys()
        assert {each["source"] for each in service.get("configs", [])} <= COMPOSE["configs"].keys()


def test_the_nats_configuration_is_the_one_of_the_code() -> None:
    assert (DEPLOY / "nats.conf").read_text() == nats_config.configuration(SERVICES)
    passwords = set(re.findall(r"\$(ROLLBOOK_NATS_\w+)", (DEPLOY / "nats.conf").read_text()))
    assert passwords == COMPOSE["services"]["nats"]["environment"].keys()


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source for line in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE) for source in line.split()[:-1]
    }
    assert copied == kept
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_the_image_has_the_oldest_python_that_is_supported() -> None:
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert oldest is not None
    assert set(re.findall(r"^FROM python:([\d.]+)-slim", DOCKERFILE, re.MULTILINE)) == {oldest[1]}
    assert OURS["api"]["build"] == {"context": "..", "dockerfile": str(PurePath("deploy", "Dockerfile"))}
