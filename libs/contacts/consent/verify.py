"""Verifies an exported consent ledger offline: `python verify.py FILE [--key PUBLIC_KEY]`. One file, Python alone.

It says which line is the first that is not what was exported. With the public key of the installation, as kept from an
earlier export, it also says that the file comes from there and from nobody else.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator

FORMAT = "rollbook-consent-ledger/1"


class Broken(Exception):
    """The file is not what was exported."""


def verify(lines: list[bytes], key: str | None = None) -> str:
    """What the file holds, in one sentence. Raises Broken with the first line that is wrong."""
    if not lines:
        raise Broken("the file is empty")
    *body, last = lines
    previous = ""
    versions: dict[tuple[object, object], int] = {}
    facts: dict[object, set[object]] = {}
    for number, line in enumerate(body, 1):
        entry = _parsed(number, line)
        if entry.get("previous") != previous:
            raise Broken(f"line {number}: does not follow the line before it")
        if number == 1:
            if entry.get("format") != FORMAT:
                raise Broken(f"line 1: is no {FORMAT}")
        else:
            _check_entry(number, entry, versions, facts)
        previous = hashlib.sha256(line).hexdigest()
    end = _parsed(len(lines), last)
    if not body or end.get("end") != {"entries": len(body) - 1, "previous": previous}:
        raise Broken(f"line {len(lines)}: the end does not fit what is before it")
    public_key = str(end.get("public_key"))
    if key is not None and key.lower() != public_key:
        raise Broken(f"line {len(lines)}: signed with another key, {public_key}")
    if not signature_fits(public_key, str(end.get("signature")), _canonical(end["end"])):
        raise Broken(f"line {len(lines)}: the signature does not fit")
    known = "of the key given" if key is not None else f"of {public_key} (compare it with one you know, or give --key)"
    return f"{len(body) - 1} entries, complete and unchanged; signature {known}"


def _parsed(number: int, line: bytes) -> dict[str, object]:
    try:
        entry = json.loads(line)
    except ValueError:
        raise Broken(f"line {number}: is no JSON") from None
    if not isinstance(entry, dict) or _canonical(entry) != line:
        raise Broken(f"line {number}: is not written as it was exported")
    return entry


def _canonical(entry: object) -> bytes:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _check_entry(
    number: int, entry: dict[str, object], versions: dict[tuple[object, object], int], facts: dict[object, set[object]]
) -> None:
    """Versions of each stream are 1, 2, 3 …, and every proof is of a fact before it."""
    stream, kind, version = entry.get("stream"), str(entry.get("kind")), entry.get("version")
    expected = versions.get((stream, kind), 0) + 1
    if version != expected:
        raise Broken(f"line {number}: version {version} of its stream, expected {expected}")
    versions[stream, kind] = expected
    data = entry.get("data")
    if not kind.endswith("_proof"):
        facts.setdefault((stream, kind), set()).add(version)
    elif isinstance(data, dict) and data.get("fact_version") not in facts.get((stream, kind[: -len("_proof")]), ()):
        raise Broken(f"line {number}: is the proof of nothing before it")


# -- Ed25519 (RFC 8032), verification only ----------------------------------------------------------------------------

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]
"""Extended coordinates X, Y, Z, T with x = X/Z, y = Y/Z, x·y = T/Z."""


def signature_fits(public_key: str, signature: str, message: bytes) -> bool:
    """Whether the owner of the key signed the message; False for anything that is no key or no signature."""
    try:
        key, signed = bytes.fromhex(public_key), bytes.fromhex(signature)
    except ValueError:
        return False
    if len(key) != 32 or len(signed) != 64:
        return False
    point, commitment = _decompressed(key), _decompressed(signed[:32])
    scalar = int.from_bytes(signed[32:], "little")
    if point is None or commitment is None or scalar >= _ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signed[:32] + key + message).digest(), "little") % _ORDER
    return _equal(_multiplied(scalar, _base()), _sum(commitment, _multiplied(challenge, point)))


def _base() -> _Point:
    point = _decompressed(bytes([0x58]) + bytes([0x66]) * 31)
    assert point is not None
    return point


def _decompressed(text: bytes) -> _Point | None:
    number = int.from_bytes(text, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _sum(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiplied(scalar: int, point: _Point) -> _Point:
    result: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _sum(result, point)
        point = _sum(point, point)
        scalar >>= 1
    return result


def _equal(p: _Point, q: _Point) -> bool:
    return (p[0] * q[2] - q[0] * p[2]) % _P == 0 and (p[1] * q[2] - q[1] * p[2]) % _P == 0


def _arguments(arguments: list[str]) -> Iterator[str | None]:
    """The file, then the key or None. Raises ValueError."""
    if len(arguments) == 3 and arguments[1] == "--key":
        yield from (arguments[0], arguments[2])
    elif len(arguments) == 1:
        yield from (arguments[0], None)
    else:
        raise ValueError


def main(arguments: list[str]) -> int:
    try:
        file, key = _arguments(arguments)
    except ValueError:
        print("usage: python verify.py FILE [--key PUBLIC_KEY]", file=sys.stderr)
        return 2
    try:
        with open(str(file), "rb") as ledger:  # noqa: PTH123
            content = ledger.read()
        if not content.endswith(b"\n"):
            raise Broken("the end of the file is missing")
        print(f"OK: {verify(content[:-1].split(bytes([10])), key)}")
    except (OSError, Broken) as error:
        print(f"NOT OK: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
