"""Frozen dataclasses from plain values, as JSON has them: every field known, none missing, each of its type."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from reprlib import repr as short
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cdc.errors import InputError

T = TypeVar("T")


def restore(kind: type[T], values: object) -> T:
    """A dataclass from plain values; fields that are dataclasses themselves are restored too, lists become tuples.

    Checked are numbers, texts, truth values, literals, tuples, mappings, dataclasses and unions of them; fields of
    other types are taken as they are.

    Args:
        kind: the dataclass.
        values: its fields by name; those with a default may be missing.

    Raises:
        InputError: if `values` is no mapping, or a field is unknown, missing or of another type.

    Example:
        >>> from cdc.beliefs.evidence import EvidenceFunction
        >>> restore(EvidenceFunction, {"kind": "relu", "temperature": 2})
        EvidenceFunction(kind='relu', centre='level', temperature=2.0)
        >>> restore(EvidenceFunction, {"temperature": "hot"})
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: temperature of EvidenceFunction must be float; received 'hot'. Write another value.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{kind.__name__} must be given as its fields by name; received {short(values)}.")
    known = {field.name: field for field in fields(kind)}  # pyright: ignore[reportArgumentType] - a dataclass
    if unknown := sorted(set(values) - set(known)):
        raise InputError(
            f"{kind.__name__} must hold only {', '.join(sorted(known)) or 'nothing'}; received "
            f"{', '.join(map(str, unknown[:5]))}. Leave them out."
        )
    needed = [name for name, field in known.items() if field.default is field.default_factory is MISSING]
    if missing := [name for name in needed if name not in values]:
        raise InputError(f"{kind.__name__} must hold {', '.join(needed)}; received none of {', '.join(missing)}.")
    types = get_type_hints(kind)
    restored: dict[str, Any] = {}
    for name, value in values.items():
        try:
            restored[name] = _read(types[name], value)
        except (TypeError, UnicodeEncodeError) as error:
            asked = types[name] if get_args(types[name]) else types[name].__name__
            raise InputError(
                f"{name} of {kind.__name__} must be {asked}; received {short(value)}. Write another value."
            ) from error
    return kind(**restored)


def _read(hint: Any, value: Any) -> Any:  # noqa: ANN401 - types and values of any kind
    """`value` as its type `hint` has it.

    Raises:
        TypeError: if it is of another type.
        UnicodeEncodeError: if it is a text that cannot be written.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        if isinstance(value, hint):  # pyright: ignore[reportArgumentType] - `hint` is a class
            return value
        _require(isinstance(value, Mapping))
        return restore(hint, value)  # pyright: ignore[reportArgumentType]
    if origin is tuple:
        return _read_tuple(parts, value)
    if origin in (Union, UnionType):
        return _read_any(parts, value)
    if hint is float:
        _require(type(value) in (int, float) and abs(value) <= sys.float_info.max)
        return float(value)
    if hint is str:
        _require(isinstance(value, str))
        value.encode()
    elif hint in (int, bool, type(None)):
        _require(type(value) is hint)
    elif origin is Literal:
        _require(value in parts)
    elif origin is Mapping:
        _require(isinstance(value, Mapping))
    return tuple(value) if isinstance(value, list) else value


def _read_tuple(parts: tuple[Any, ...], value: Any) -> tuple[Any, ...]:  # noqa: ANN401
    _require(isinstance(value, (list, tuple)))
    hints = parts[:1] * len(value) if parts[1:] == (...,) else parts
    _require(len(hints) == len(value))
    return tuple(map(_read, hints, value))


def _read_any(parts: tuple[Any, ...], value: Any) -> Any:  # noqa: ANN401
    """As the first of several types that takes it."""
    for hint in parts:
        with suppress(TypeError, UnicodeEncodeError):
            return _read(hint, value)
    raise TypeError


def _require(fits: bool) -> None:
    if not fits:
        raise TypeError
