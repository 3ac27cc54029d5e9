"""Bytes of strangers to typed structs: whatever is wrong with them becomes a `Malformed` that says where. No HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

#: Longest piece of a caller's own text that an error repeats, in characters.
ECHO_CHARS_MAX = 80
#: Entries of one mapping that the search for a bad one looks at.
BLAME_ENTRIES_MAX = 1_000


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with a request, and where."""

    #: What is wrong and what would be right.
    detail: str
    #: JSON pointer (RFC 6901) into the body; empty for the body as a whole.
    pointer: str | msgspec.UnsetType = msgspec.UNSET
    #: Name of the query or path parameter.
    parameter: str | msgspec.UnsetType = msgspec.UNSET
    #: Name of the header.
    header: str | msgspec.UnsetType = msgspec.UNSET


class Malformed(Exception):
    """The input cannot be read as what it should be."""

    def __init__(self, fault: Fault) -> None:
        where = fault.pointer or fault.parameter or fault.header
        super().__init__(f"{where}: {fault.detail}" if where else fault.detail)
        self.fault = fault


class BodyDecoder(Generic[T]):
    """Decodes JSON bodies of one type. Unknown fields, repeated keys, NUL and anything not UTF-8 are refused."""

    def __init__(self, type_: type[T]) -> None:
        self.type = type_
        self._decode = msgspec.json.Decoder(type_).decode
        self._encode = msgspec.json.Encoder().encode

    def __call__(self, raw: bytes) -> T:
        """Raises Malformed."""
        try:
            body = self._decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(self._explain(raw, error)) from None
        if self._is_suspect(raw, body):
            refuse_nul_and_repeats(raw)
        return body

    def _is_suspect(self, raw: bytes, body: T) -> bool:
        r"""Whether the slow look at every key and string is needed.

        msgspec lets the last of two equal keys win, silently. A dropped member is a dropped colon, so the body written
        out again shows it; `\u003a` is the one way to hide a colon, `\u0000` the only way to write NUL. The struct
        must leave defaults out when written (`omit_defaults`), or every body is looked at twice.
        """
        return b"\\u0000" in raw or b"\\u003" in raw or raw.count(b":") != self._encode(body).count(b":")

    def _explain(self, raw: bytes, error: Exception) -> Fault:
        if isinstance(error, RecursionError):
            return Fault("the body is nested too deeply", pointer="")
        if isinstance(error, UnicodeDecodeError):
            return Fault(
                f"the body is not UTF-8: {error.reason}; JSON is sent as UTF-8",
                pointer="",
            )
        if not isinstance(error, msgspec.ValidationError):
            if _LONE_SURROGATE.search(raw):
                return Fault("a \\u escape is half a surrogate pair; send both or the character itself", pointer="")
            return Fault(f"{clipped(str(error))}; send one JSON value", pointer="")
        what, place = split_message(str(error))
        return Fault(
            what + allowed_values(self.type, place),
            pointer=pointer_of(self._blamed(raw, place, str(error))),
        )

    def _blamed(self, raw: bytes, place: list[str], message: str) -> list[str]:
        """The place with the key filled in where msgspec only says `[...]`: found by leaving one entry at a time."""
        if UNNAMED not in place:
            return place
        depth = place.index(UNNAMED)
        try:
            document = msgspec.json.decode(raw)
            mapping = document
            for step in place[:depth]:
                mapping = mapping[int(step) if isinstance(mapping, list) else step]
            for key, value in list(mapping.items())[:BLAME_ENTRIES_MAX]:
                mapping.clear()
                mapping[key] = value
                if self._fails_alike(document, message):
                    return [*place[:depth], key, *place[depth + 1 :]]
        except (ValueError, RecursionError, LookupError, TypeError):
            pass
        return place[:depth]

    def _fails_alike(self, document: object, message: str) -> bool:
        try:
            msgspec.convert(document, self.type)
        except msgspec.ValidationError as error:
            return str(error) == message
        return False


class QueryDecoder(Generic[T]):
    """Decodes query strings of one route. Unknown and repeated parameters are refused."""

    def __init__(self, type_: type[T]) -> None:
        self.type = type_
        self._known = [field.encode_name for field in msgspec.structs.fields(type_)]
        self._empty = msgspec.convert({}, type_) if all_optional(type_) else None

    def __call__(self, raw: bytes) -> T:
        """Raises Malformed."""
        if not raw and self._empty is not None:
            return self._empty
        found: dict[str, str] = {}
        for name, value in self._pairs(raw):
            if name in found:
                raise Malformed(Fault("given twice; give it once", parameter=clipped(name)))
            found[name] = value
        return convert_parameters(found, self.type, self._known)

    def _pairs(self, raw: bytes) -> list[tuple[str, str]]:
        try:
            pairs = parse_qsl(
                raw.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=100,
            )
        except UnicodeDecodeError:
            raise Malformed(Fault("the query string is not percent-encoded UTF-8", parameter="")) from None
        except ValueError:
            raise Malformed(Fault("the query string has more than 100 parameters", parameter="")) from None
        for name, value in pairs:
            if "\0" in name or "\0" in value:
                raise Malformed(
                    Fault(
                        "holds the character NUL, which no text may",
                        parameter=clipped(name),
                    )
                )
        return pairs


def convert_parameters(found: dict[str, str], type_: type[T], known: list[str]) -> T:
    """Texts of the query or the path as a struct. Raises Malformed."""
    for name, value in found.items():
        if "\0" in value or "\0" in name:
            raise Malformed(Fault("holds the character NUL, which no text may", parameter=clipped(name)))
    try:
        return msgspec.convert(found, type_, strict=False)
    except msgspec.ValidationError as error:
        what, place = split_message(str(error))
        if unknown := _UNKNOWN.search(str(error)):
            what = f"unknown parameter; known here: {', '.join(known) or 'none'}"
            place = [clipped(unknown.group(1))]
        raise Malformed(Fault(what + allowed_values(type_, place), parameter=".".join(place))) from None


def all_optional(type_: type[msgspec.Struct]) -> bool:
    return not any(field.required for field in msgspec.structs.fields(type_))


def refuse_nul_and_repeats(raw: bytes) -> None:
    """Walks a body that was decoded once already. Raises Malformed at the first repeated key or NUL."""
    try:
        document = json.loads(raw, object_pairs_hook=_Members)
        for fault in _faults(document, []):
            raise Malformed(fault)
    except RecursionError:
        raise Malformed(Fault("the body is nested too deeply", pointer="")) from None


class _Members(list[tuple[str, Any]]):
    """The members of one JSON object, repeated keys included."""


def _faults(value: object, place: list[str]) -> Iterator[Fault]:
    if isinstance(value, str):
        if "\0" in value:
            yield Fault("holds the character NUL, which no text may", pointer=pointer_of(place))
    elif isinstance(value, _Members):
        seen = set()
        for key, member in value:
            if key in seen:
                yield Fault(
                    "the key occurs twice in one object; give it once",
                    pointer=pointer_of([*place, key]),
                )
            seen.add(key)
            yield from _faults(key, [*place, key])
            yield from _faults(member, [*place, key])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, [*place, str(index)])


_LONE_SURROGATE = re.compile(rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])")
#: How msgspec writes a mapping's value in a path: without its key.
UNNAMED = "[...]"
_MESSAGE = re.compile(r"^(?P<what>.*) - at `(?:key` in `)?\$(?P<path>[^`]*)`$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|(\[\.\.\.\])")
_UNKNOWN = re.compile(r"unknown field `(.*?)`(?: - at|$)", re.DOTALL)
_MISSING = re.compile(r"missing required field `(.*?)`(?: - at|$)", re.DOTALL)


def split_message(message: str) -> tuple[str, list[str]]:
    """("Expected `str`, got `int`", ["tags", "0"]) of a msgspec validation error's text."""
    match = _MESSAGE.match(message)
    what, path = (match["what"], match["path"]) if match else (message, "")
    place = [next(filter(None, step)) for step in _STEP.findall(path)]
    if missing := _MISSING.search(message):
        return "required and missing", [*place, missing.group(1)]
    if unknown := _UNKNOWN.search(message):
        return "unknown field", [*place, clipped(unknown.group(1))]
    return clipped(what[:1].lower() + what[1:]), place


def pointer_of(place: list[str]) -> str:
    return "".join("/" + clipped(step).replace("~", "~0").replace("/", "~1") for step in place)


def clipped(text: str) -> str:
    """The text short enough to repeat, and writable as UTF-8."""
    text = text if len(text) <= ECHO_CHARS_MAX else text[:ECHO_CHARS_MAX] + "…"
    return text.encode("utf-8", "replace").decode()


def allowed_values(type_: type[msgspec.Struct], place: list[str]) -> str:
    """ "; one of a, b, c" where the schema at that place is a closed list, else nothing."""
    schema, definitions = _schema(type_)
    for step in place:
        schema = next(_below(schema, step, definitions), {})
    values = [value for node in _flat(schema, definitions) for value in node.get("enum", ())]
    return f"; one of {', '.join(map(str, values))}" if values else ""


@lru_cache(maxsize=256)
def _schema(type_: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    schema = msgspec.json.schema(type_)
    return schema, schema.get("$defs", {})


def _flat(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in schema:
        yield from _flat(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    for branch in schema.get("anyOf", ()):
        yield from _flat(branch, definitions)
    yield schema


def _below(schema: dict[str, Any], step: str, definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for node in _flat(schema, definitions):
        if step in node.get("properties", {}):
            yield node["properties"][step]
        elif isinstance(node.get("additionalProperties"), dict):
            yield node["additionalProperties"]
        elif "items" in node:
            yield node["items"]
