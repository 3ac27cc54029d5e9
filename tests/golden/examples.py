"""Builds examples of a struct from its types alone: every field filled, emptied, or left out. Knows no event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import inspect

MOMENT: Final = datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=UTC)
ID: Final = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def full(struct: type[msgspec.Struct]) -> Any:
    """Every field with a value that differs from its default where its type has more than one."""
    return _struct(inspect.type_info(struct), every=True)


def sparse(struct: type[msgspec.Struct]) -> Any:
    """Only the fields without a default."""
    return _struct(inspect.type_info(struct), every=False)


def cleared(struct: type[msgspec.Struct]) -> Any:
    """As `sparse`, with None wherever that is allowed."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    emptied = {f.name: None for f in info.fields if not f.required and _may_be_none(f.type)}
    return msgspec.structs.replace(sparse(struct), **emptied)


def _may_be_none(info: inspect.Type) -> bool:
    return isinstance(info, inspect.UnionType) and any(isinstance(t, inspect.NoneType) for t in info.types)


def _struct(info: inspect.Type, *, every: bool) -> Any:
    assert isinstance(info, inspect.StructType)
    chosen = {f.name: _value(f.type, f.name, f.default) for f in info.fields if f.required or every}
    return info.cls(**chosen)


def _value(info: inspect.Type, name: str, default: Any = None) -> Any:
    match info:
        case inspect.UnionType(types=types):
            filled = [t for t in types if not isinstance(t, inspect.NoneType)]
            return _value(filled[0], name, default)
        case inspect.StructType():
            return _struct(info, every=True)
        case inspect.StrType():
            return f"{name} é\N{SNOWMAN}"
        case inspect.IntType():
            return 1234567
        case inspect.FloatType():
            return -12.5
        case inspect.BoolType():
            return default is not True
        case inspect.BytesType():
            return b"\x00\xff" * 16
        case inspect.DateTimeType():
            return MOMENT
        case inspect.DateType():
            return MOMENT.date()
        case inspect.UUIDType():
            return ID
        case inspect.LiteralType(values=values):
            return next((value for value in values if value != default), values[0])
        case inspect.EnumType(cls=cls):
            return next((value for value in cls if value != default), next(iter(cls)))
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item) | inspect.SetType(item_type=item):
            made = [_value(item, f"{name} 1")]
            return tuple(made) if isinstance(info, inspect.VarTupleType) else made
        case inspect.TupleType(item_types=items):
            return tuple(_value(item, f"{name} {n}") for n, item in enumerate(items))
        case inspect.DictType(key_type=key, value_type=value):
            return {_value(key, "key"): _value(value, name)}
        case inspect.AnyType():
            return name
    raise NotImplementedError(f"{name}: no example of {info}")
