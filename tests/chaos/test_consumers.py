"""The consumers of the examples miss nothing while nats-server and the bridge are killed under them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from rollbook.folder import DataFolder
from tests.chaos.support.report import Report, figure
from tests.support import servers
from tests.support.examples import LANGUAGES, Following, program, surroundings, written
from tests.support.stack import Up
from tests.support.waiting import until

KILLS = figure(3, 200)
CAUGHT_UP_S = 60.0


@pytest.fixture
def up() -> Iterator[Up]:
    folder = servers.scratch_folder()
    up = Up(folder / "data")
    yield up
    up.stop()
    servers.remove_folder(folder)


@pytest.mark.chaos
@pytest.mark.slow
async def test_consumers_miss_nothing(
    up: Up, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, chaos_report: Callable[[str], Report]
) -> None:
    report = chaos_report("R13 to the consumers of the examples")
    rng = random.Random(report.seed)
    running = await asyncio.to_thread(up.ready)
    following = {}
    for language in LANGUAGES:
        # Where TypeScript cannot be had, Python's is followed alone, and the report says so.
        with contextlib.suppress(pytest.skip.Exception):
            consumer = program(language, tmp_path_factory.getbasetemp())("consumer")
            environment = surroundings(running, CONSUMER=language)
            following[language] = Following(consumer, environment, tmp_path / language)
    stop = asyncio.Event()
    try:
        writing = asyncio.create_task(_write(running.api, running.api_key, rng, stop))
        for number in range(KILLS):
            await asyncio.sleep(rng.uniform(0.2, 1.2))
            await _kill(up.folder, "nats" if number % 2 == 0 else "bridge")
            report.counts["kills"] += 1
        stop.set()
        versions = await writing
        for language, consumer in following.items():
            with contextlib.suppress(AssertionError):
                await until(
                    lambda language=language: not _missed(tmp_path / language, versions),
                    timeout_s=CAUGHT_UP_S,
                    every_s=0.2,
                )
            assert _missed(tmp_path / language, versions) == {}, f"in {language}, as (seen, acknowledged)"
            assert consumer.process.poll() is None, "it was not started again"
            report.counts[f"events seen in {language}"] += sum(map(len, _seen(tmp_path / language).values()))
    finally:
        stop.set()
        for each in following.values():
            each.stop()
    report.finish()


async def _write(api: str, key: str, rng: random.Random, stop: asyncio.Event) -> dict[str, list[int]]:
    """Contacts with some edits each, until told to stop; the versions of each contact that were acknowledged."""
    versions: dict[str, list[int]] = {}
    async with httpx2.AsyncClient(base_url=api, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        while not stop.is_set():
            made = await client.post("/v1/contacts", json={"external_id": f"c-{len(versions)}"})
            assert made.status_code == 201, made.text
            contact_id = made.json()["id"]
            versions[contact_id] = [1]
            for number in range(rng.randrange(4)):
                edited = await client.patch(f"/v1/contacts/{contact_id}", json={"first_name": f"N{number}"})
                assert edited.status_code == 200, edited.text
                versions[contact_id].append(edited.json()["version"])
            await asyncio.sleep(0.02)
    return versions


def _seen(output: Path) -> dict[str, list[int]]:
    """As the consumer wrote them: in order, each once."""
    found: dict[str, list[int]] = defaultdict(list)
    with contextlib.suppress(FileNotFoundError):
        for event in written(output):
            found[event["subject"]].append(event["version"])
    return found


def _missed(output: Path, versions: dict[str, list[int]]) -> dict[str, tuple[list[int], list[int]]]:
    """Contacts that were not seen as they were acknowledged: what of them was, and what should have been."""
    seen = _seen(output)
    return {each: (seen.get(each, []), wanted) for each, wanted in versions.items() if seen.get(each) != wanted}


async def _kill(folder: Path, name: str) -> None:
    """kill -9, once it runs (again)."""
    data = DataFolder(folder)

    async def killed() -> bool:
        running = data.running()
        pid = running.pids.get(name) if running else None
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    await until(killed, timeout_s=30, every_s=0.1, what=f"{name} runs and is killed")
