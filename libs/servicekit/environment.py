"""Reads `Settings` from environment variables and files, naming everything that is wrong at once."""

from __future__ import annotations

import difflib
import os
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import inspect

from servicekit.settings import PREFIX, Settings, parse_master_keys

#: Everything a service process cannot do without.
SERVICE_NEEDS: Final = ("database_url", "nats_url", "master_key")


class InvalidSettings(ValueError):
    """`problems` lists every setting that is missing or wrong; never a secret's value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Field(NamedTuple):
    """One setting as its documentation shows it."""

    name: str
    variable: str
    description: str
    #: What to give, in words.
    wanted: str
    #: Default as text, empty for none.
    default: str
    secret: bool


def load(environment: Mapping[str, str] | None = None, *, needed: Collection[str] = ()) -> Settings:
    """The settings of this process. An empty variable counts as unset.

    Raises:
        InvalidSettings: with every problem found, the ones `needed` but not set among them.
    """
    environment = os.environ if environment is None else environment
    problems: list[str] = []
    values: dict[str, Any] = {}
    for field in fields():
        try:
            text = _text(field, environment)
            if text is not None:
                values[field.name] = _parse(field, text)
            elif field.name in needed:
                problems.append(f"{field.variable} is not set: give {field.wanted}{_or_file(field)}")
        except ValueError as error:
            problems.append(str(error))
    problems += _missing_beside(values)
    if problems:
        raise InvalidSettings(problems)
    return Settings(**values)


def _missing_beside(values: Mapping[str, Any]) -> list[str]:
    """What one setting needs beside it."""
    return [
        f"{field.variable} is not set, which {PREFIX}JWT_JWKS needs: give {field.wanted}"
        for field in fields()
        if "jwt_jwks" in values and field.name in ("jwt_issuer", "jwt_audience") and field.name not in values
    ]


def fields() -> Iterator[Field]:
    """Every setting, in the order of the struct."""
    described = inspect.type_info(Settings)
    assert isinstance(described, inspect.StructType)
    for field in described.fields:
        meta = _metadata(field.type)
        extra: dict[str, Any] = meta.extra or {}
        default = "" if field.default in (msgspec.NODEFAULT, None) else str(field.default)
        yield Field(
            name=field.name,
            variable=PREFIX + field.name.upper(),
            description=(meta.extra_json_schema or {}).get("description", ""),
            wanted=extra["wanted"],
            default=default,
            secret=extra["secret"],
        )


def unknown(environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each `ROLLBOOK_…` variable that is no setting, with the nearest one that is."""
    environment = os.environ if environment is None else environment
    known = [name for field in fields() for name in _variables(field)]
    found = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            found.append(f"{name} is no setting" + (f": did you mean {near[0]}?" if near else ""))
    return found


def _variables(field: Field) -> list[str]:
    return [field.variable, *([field.variable + "_FILE"] if field.secret else [])]


def _or_file(field: Field) -> str:
    return f", or a file that holds it in {field.variable}_FILE" if field.secret else ""


def _text(field: Field, environment: Mapping[str, str]) -> str | None:
    """Raises ValueError with the sentence to show."""
    text = environment.get(field.variable, "").strip()
    path = environment.get(field.variable + "_FILE", "").strip() if field.secret else ""
    if text and path:
        raise ValueError(f"{field.variable} and {field.variable}_FILE are both set: give one of them")
    if not path:
        return text or None
    try:
        text = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ValueError(f"{field.variable}_FILE={path} cannot be read ({reason}): give a readable file") from None
    if not text:
        raise ValueError(f"{field.variable}_FILE={path} is empty: it should hold {field.wanted}")
    return text


def _parse(field: Field, text: str) -> Any:
    """Raises ValueError with the sentence to show."""
    try:
        value = msgspec.convert(text, _types()[field.name], strict=False, dec_hook=_decode)
        if check := CHECKS.get(field.name):
            check(value)
    except ValueError as error:
        shown = "" if field.secret else f"={text[:100]!r}"
        # What a check says of a secret never holds its value; what msgspec says may.
        reason = f" ({error})" if field.secret and not isinstance(error, msgspec.ValidationError) else ""
        raise ValueError(f"{field.variable}{shown} is not valid{reason}: give {field.wanted}") from None
    return value


def _decode(type_: type, value: Any) -> Any:
    return type_(value) if type_ is Path else value


def _types() -> dict[str, Any]:
    return typing.get_type_hints(Settings, include_extras=True)


def _metadata(type_: inspect.Type) -> inspect.Metadata:
    assert isinstance(type_, inspect.Metadata)
    return type_


def _starts_with(*schemes: str) -> Callable[[Any], None]:
    def check(url: str) -> None:
        for part in url.split(","):
            if not part.strip().startswith(schemes):
                raise ValueError(f"it does not start with {' or '.join(schemes)}")

    return check


def _not_in_clear(place: str) -> None:
    parts = urlsplit(place)
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("anybody on the way could answer for it")


def _long_enough(key: str) -> None:
    if len(key) < 8 or any(letter.isspace() for letter in key):
        raise ValueError("it is too short or holds blanks")


CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "database_url": _starts_with("postgresql://", "postgres://"),
    "database_query_url": _starts_with("postgresql://", "postgres://"),
    "nats_url": _starts_with("nats://", "tls://"),
    "master_key": parse_master_keys,
    "bootstrap_key": _long_enough,
    "jwt_jwks": _not_in_clear,
}
