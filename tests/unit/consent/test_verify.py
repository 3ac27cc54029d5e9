"""The standalone verifier: what was exported is accepted, whatever was done to it is told with its line."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contacts.addresses import address_id
from contacts.consent import events as e
from contacts.consent import verify
from contacts.consent.ledger import LedgerKey, Ledgers, canonical
from contacts.consent.verify import Broken
from contacts.proof import ProofRecorded
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata, RecordedEvent, Stream
from tests.unit.consent.examples import ANN, DIGEST, FORM, WORKSPACE, fact

KEY = LedgerKey(Keyring.from_secret(b"a master secret of the tests, 32+ bytes"))
STREAM = address_id(WORKSPACE, ANN.widest)


class Log:
    """As much of a store as an export asks for."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent[Any]] = []
        for version, event in enumerate((fact(e.ConsentGranted, proof=DIGEST), fact(e.ConsentWithdrawn)), 1):
            proof = ProofRecorded(fact_version=version, address=ANN.text, proof=FORM)
            self._record("consent", version, "consent.granted" if version == 1 else "consent.withdrawn", event)
            self._record("consent_proof", version, "proof.recorded", proof)

    def _record(self, category: str, version: int, type_: str, event: object) -> None:
        self.events.append(
            RecordedEvent(
                lane=0,
                position=len(self.events) + 1,
                workspace_id=WORKSPACE,
                category=category,
                stream_id=STREAM,
                version=version,
                event_id=uuid4(),
                type=type_,
                schema_version=1,
                recorded_at=datetime(2026, 3, 1, tzinfo=UTC),
                metadata=Metadata(actor="key:a"),
                event=event,
            )
        )

    def lane_of(self, _: UUID) -> int:
        return 0

    async def head(self, _: int) -> int:
        return len(self.events)

    async def read_streams(self, streams: list[Stream]) -> dict[Stream, list[RecordedEvent[Any]]]:
        return {stream: [e for e in self.events if e.category == stream.category] for stream in streams}


@pytest.fixture
async def exported() -> list[bytes]:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    ledgers = Ledgers(Log(), KEY)  # type: ignore[arg-type]
    content = await ledgers.export(WORKSPACE, [ANN], contact_id=None, now=now)
    return content.rstrip(b"\n").split(b"\n")


def test_an_export_is_accepted(exported: list[bytes]) -> None:
    assert verify.verify(exported).startswith("4 entries, complete and unchanged")
    assert verify.verify(exported, KEY.public_key).endswith("of the key given")


def test_an_export_tells_all_that_was_said_and_how(exported: list[bytes]) -> None:
    entries = [json.loads(line) for line in exported[1:-1]]
    assert [entry["event"] for entry in entries] == [
        "consent.granted", "proof.recorded", "consent.withdrawn", "proof.recorded",
    ]  # fmt: skip
    assert entries[1]["data"]["proof"] == {"text": "Yes, send me news", "form_version": "7"}
    assert {entry["actor"] for entry in entries} == {"key:a"}


def test_no_line_can_be_left_out_doubled_or_moved(exported: list[bytes]) -> None:
    for number in range(len(exported)):
        for changed in (
            exported[:number] + exported[number + 1 :],
            exported[: number + 1] + exported[number:],
            exported[:number] + exported[number + 1 :] + [exported[number]],
        ):
            if changed != exported:
                with pytest.raises(Broken):
                    verify.verify(changed)


def test_no_byte_can_be_changed(exported: list[bytes]) -> None:
    content = b"\n".join(exported)
    picked = random.Random(5).sample(range(len(content)), 300)
    for place in picked:
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(Broken):
            verify.verify(bytes(changed).split(b"\n"))


def rewritten(lines: list[bytes], change: Callable[[list[dict[str, Any]]], None], key: LedgerKey) -> list[bytes]:
    """As a forger would who knows the format and has a key of their own."""
    entries = [json.loads(line) for line in lines[:-1]]
    change(entries)
    written: list[bytes] = []
    previous = ""
    for entry in entries:
        written.append(canonical({**entry, "previous": previous}))
        previous = sha256(written[-1]).hexdigest()
    end = {"entries": len(entries) - 1, "previous": previous}
    signature = key.sign(canonical(end))
    return [*written, canonical({"end": end, "public_key": key.public_key, "signature": signature})]


def test_a_whole_forgery_is_told_by_its_key(exported: list[bytes]) -> None:
    def forge(entries: list[dict[str, Any]]) -> None:
        del entries[3:]

    forged = rewritten(exported, forge, LedgerKey(Keyring.from_secret(b"f" * 32)))
    verify.verify(forged)
    with pytest.raises(Broken, match="signed with another key"):
        verify.verify(forged, KEY.public_key)


def test_what_even_the_owner_of_the_key_cannot_leave_out(exported: list[bytes]) -> None:
    def without_the_first_fact(entries: list[dict[str, Any]]) -> None:
        del entries[1]

    def proof_of_nothing(entries: list[dict[str, Any]]) -> None:
        entries[2]["data"]["fact_version"] = 9

    for change, told in ((without_the_first_fact, "line 2: is the proof"), (proof_of_nothing, "line 3: is the proof")):
        with pytest.raises(Broken, match=told):
            verify.verify(rewritten(exported, change, KEY))


def test_signatures_are_checked_as_the_library_checks_them() -> None:
    pick = random.Random(7)
    for _ in range(20):
        key, message = Ed25519PrivateKey.from_private_bytes(pick.randbytes(32)), pick.randbytes(pick.randrange(200))
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
        signature = key.sign(message)
        assert verify.signature_fits(public, signature.hex(), message)
        assert not verify.signature_fits(public, signature.hex(), message + b"x")
        changed = bytearray(signature)
        changed[pick.randrange(64)] ^= 1 << pick.randrange(8)
        assert not verify.signature_fits(public, changed.hex(), message)
    for key_, signed in (("", ""), ("zz" * 32, "00" * 64), ("ff" * 32, "ff" * 64), ("00" * 32, "00" * 64)):
        assert not verify.signature_fits(key_, signed, b"message")


def test_it_runs_alone(exported: list[bytes], tmp_path: Path) -> None:
    """Copied to where nothing of this project can be imported."""
    script, ledger = tmp_path / "check.py", tmp_path / "ledger.jsonl"
    script.write_bytes(Path(verify.__file__).read_bytes())
    ledger.write_bytes(b"\n".join(exported) + b"\n")
    environment = {"PATH": os.environ["PATH"]}
    command = [sys.executable, "-I", str(script), str(ledger), "--key", KEY.public_key]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout[:3], done.stderr) == (0, "OK:", "")
    ledger.write_bytes(b"\n".join(exported[:-1]) + b"\n")
    broken = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert (broken.returncode, broken.stdout[:7]) == (1, "NOT OK:")
    ledger.write_bytes(b"\n".join(exported))
    cut = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert (cut.returncode, cut.stdout) == (1, "NOT OK: the end of the file is missing\n")
