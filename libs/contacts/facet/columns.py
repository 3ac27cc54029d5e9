"""Values of many contacts in arrays, one slot per contact, and which slots a comparison holds of. Knows no database."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from contacts.smartsearch.subject import Known

Mask: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]

#: Different values that a column may have; comparing asks each of them once.
VOCABULARY_MAX: Final = 100_000
#: What a value of a vocabulary takes beside the column, about.
KNOWN_BYTES: Final = 250
#: Answers of one column that are remembered.
ANSWERS_MAX: Final = 100
#: What microseconds and days are where there are none.
NEVER: Final = int(np.iinfo(np.int64).min)
_ODD: Final = tuple(np.uint64(secrets.randbits(64) | 1) for _ in range(2))


class TooVaried(Exception):
    """A column has more different values than are kept, or numbers that no float says exactly."""


class Slots:
    """Which slot each contact has. Of an id only 64 bits are kept, mixed in a way that nobody outside can foresee."""

    def __init__(self) -> None:
        self.count = 0
        self._keys = np.zeros(0, np.uint64)
        self._slots = np.zeros(0, np.int64)

    @staticmethod
    def key(high: npt.NDArray[Any], low: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
        mixed: npt.NDArray[np.uint64] = high.astype(np.uint64) * _ODD[0] + low.astype(np.uint64) * _ODD[1]
        return mixed

    def of(self, keys: npt.NDArray[np.uint64]) -> Ints:
        """Those that have none yet get one."""
        places = np.minimum(np.searchsorted(self._keys, keys), max(0, self.count - 1))
        new = np.unique(keys[self._keys[places] != keys] if self.count else keys)
        if len(new):
            before = np.searchsorted(self._keys, new)
            self._keys = np.insert(self._keys, before, new)
            self._slots = np.insert(self._slots, before, np.arange(self.count, self.count + len(new)))
            self.count += len(new)
            places = np.searchsorted(self._keys, keys)
        return self._slots[places]

    @property
    def bytes(self) -> int:
        return self._keys.nbytes + self._slots.nbytes


class Codes:
    """Few different values: of each contact the number of its own. What a comparison says is asked of the values."""

    def __init__(self) -> None:
        self.values = np.zeros(0, np.int32)
        self._known: list[Known] = [None]
        #: By the hash under which a value comes; 0 is unset.
        self._codes: dict[int, int] = {0: 0}
        self._answers: dict[Hashable, list[bool]] = {}

    def resize(self, size: int) -> None:
        self.values = _resized(self.values, size, 0)

    def strange(self, hashes: Ints) -> Ints:
        """Where values stand that were never seen, each once. Raises TooVaried."""
        different, places = np.unique(hashes, return_index=True)
        new = [place for each, place in zip(different.tolist(), places, strict=True) if each not in self._codes]
        if len(new) + len(self._known) > VOCABULARY_MAX:
            raise TooVaried
        return np.array(new, np.int64)

    def learn(self, hash_: int, known: Known) -> None:
        self._codes[hash_] = len(self._known)
        self._known.append(known)

    def put(self, slots: Ints, hashes: Ints) -> None:
        different, which = np.unique(hashes, return_inverse=True)
        codes = np.fromiter((self._codes[each] for each in different.tolist()), np.int32, len(different))
        self.values[slots] = codes[which]

    def clear(self, slots: Ints) -> None:
        self.values[slots] = 0

    def forget_unused(self) -> None:
        """Values that no contact has any more leave the memory."""
        used = np.bincount(self.values, minlength=len(self._known)) > 0
        self._codes = {hash_: code for hash_, code in self._codes.items() if code == 0 or used[code]}
        self._known = [known if used[code] else None for code, known in enumerate(self._known)]
        self._answers.clear()

    def where(self, question: Hashable, holds: Callable[[Known], bool]) -> Mask:
        """`question` is what it is remembered under."""
        if len(self._answers) > ANSWERS_MAX:
            self._answers.clear()
        answers = self._answers.get(question, [])
        answers = self._answers[question] = [*answers, *map(holds, self._known[len(answers) :])]
        return np.array(answers, np.bool_)[self.values]

    @property
    def bytes(self) -> int:
        return self.values.nbytes + len(self._known) * KNOWN_BYTES + sum(map(len, self._answers.values())) * 8


class Ordered:
    """Numbers, instants or days, which are compared as they are."""

    def __init__(self, *, floats: bool) -> None:
        self.values: npt.NDArray[Any] = np.zeros(0, np.float64 if floats else np.int64)
        self._unset: float = np.inf if floats else NEVER

    def resize(self, size: int) -> None:
        self.values = _resized(self.values, size, self._unset)

    def put(self, slots: Ints, values: npt.NDArray[Any]) -> None:
        """Raises TooVaried."""
        if np.isnan(values).any():
            raise TooVaried
        self.values[slots] = values

    def clear(self, slots: Ints) -> None:
        self.values[slots] = self._unset

    @property
    def is_set(self) -> Mask:
        there: Mask = self.values != self._unset
        return there

    def between(self, low: float | None, high: float | None, *, low_open: bool, high_open: bool) -> Mask:
        inside = np.ones(len(self.values), np.bool_)
        if low is not None:
            inside &= self.values > low if low_open else self.values >= low
        if high is not None:
            inside &= self.values < high if high_open else self.values <= high
        return inside

    def among(self, wanted: list[float]) -> Mask:
        return np.isin(self.values, wanted)

    @property
    def bytes(self) -> int:
        return self.values.nbytes


class Events:
    """What happened, in no order: to whom, and when in microseconds."""

    def __init__(self) -> None:
        self._slots = np.zeros(0, np.int32)
        self._times = np.zeros(0, np.int64)

    def add(self, slots: list[Ints], times: list[Ints]) -> None:
        self._slots = np.concatenate([self._slots, *(each.astype(np.int32) for each in slots)])
        self._times = np.concatenate([self._times, *times])

    def clear(self, slots: Ints, size: int) -> None:
        """Nothing happened to these, out of so many, any more."""
        gone = np.zeros(size, np.bool_)
        gone[slots] = True
        self._keep(~gone[self._slots])

    def cut(self, before: int) -> None:
        self._keep(self._times >= before)

    def counted(self, size: int, window: tuple[int, int] | None) -> Ints:
        """How many each slot has, after the first and up to the second instant."""
        slots = self._slots
        if window is not None:
            slots = slots[(self._times > window[0]) & (self._times <= window[1])]
        return np.bincount(slots, minlength=size)

    def _keep(self, kept: Mask) -> None:
        if not kept.all():
            self._slots, self._times = self._slots[kept], self._times[kept]

    @property
    def bytes(self) -> int:
        return self._slots.nbytes + self._times.nbytes


def _resized(values: npt.NDArray[Any], size: int, unset: float) -> npt.NDArray[Any]:
    return np.concatenate([values, np.full(size - len(values), unset, values.dtype)])
