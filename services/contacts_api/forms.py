"""Bodies of HTML forms and one-click unsubscribes, URL-encoded or multipart, decoded like any other body. No HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec

from contacts_api.decoding import Fault, Malformed
from contacts_api.errors import MEDIA_TYPE, Rejected

T = TypeVar("T", bound=msgspec.Struct)

URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
FORM_TYPES: Final = frozenset({URLENCODED, MULTIPART})
FIELDS_MAX: Final = 20


class FormDecoder(Generic[T]):
    """Decodes the fields that the struct knows; others are passed over, for mail providers add their own."""

    def __init__(self, type_: type[T]) -> None:
        self._type = type_
        self._known = {field.encode_name for field in msgspec.structs.fields(type_)}

    def __call__(self, headers: Mapping[bytes, bytes], raw: bytes) -> T:
        """Raises Malformed, and Rejected for another media type."""
        declared = headers.get(b"content-type", URLENCODED.encode()).decode("latin-1")
        media_type = declared.partition(";")[0].strip().lower()
        if media_type not in FORM_TYPES:
            raise Rejected(MEDIA_TYPE, f"send {' or '.join(sorted(FORM_TYPES))}")
        try:
            fields = _multipart(declared, raw) if media_type == MULTIPART else _urlencoded(raw)
            return msgspec.convert({name: value for name, value in fields if name in self._known}, self._type)
        except (ValueError, LookupError) as error:
            wanted = " and ".join(sorted(self._known))
            raise Malformed(Fault(f"the form cannot be read; it needs {wanted}", pointer="")) from error


def _urlencoded(raw: bytes) -> Iterator[tuple[str, str]]:
    yield from parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)


def _multipart(declared: str, raw: bytes) -> Iterator[tuple[str, str]]:
    head = f"Content-Type: {declared}\r\n\r\n".encode("latin-1")
    message = BytesParser(policy=HTTP).parsebytes(head + raw)
    for number, part in enumerate(message.iter_parts()):
        if number == FIELDS_MAX:
            raise ValueError("too many fields")
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            yield name, content.decode("utf-8").strip()
