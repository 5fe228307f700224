"""Decodes the body and query of a request into a validated model, or into errors that a person can act on.

Here: reading JSON bodies and query strings with pydantic, and describing precisely what is wrong with them. Not here:
who calls this (`api`) and how errors look in a response (`problems`).
"""

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from itertools import islice
from typing import Annotated, Final, Generic, NoReturn, TypeVar, Union, get_args, get_origin

from multidict import MultiMapping
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from typing_extensions import TypeAliasType

from schemas.model import readable_location
from schemas.words import what_would_be_right
from shared.errors import FieldError, Invalid, Malformed, shortened

T = TypeVar("T")

MAX_ERRORS: Final = 500
"""The most errors of one request that are reported: to suggest the nearest valid name takes time for each."""

_SEQUENCES: Final = (list, set, frozenset, tuple, Sequence, AbstractSet)
_NUL: Final = "\x00"


class BodyReader(Generic[T]):
    """Decodes a JSON body into one type: a model, or any other type that pydantic can validate."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)
        self._validate = self._adapter.validator.validate_json
        self._empty_is_object = _accepts_empty_object(kind)

    def read(self, raw: bytes) -> T:
        """Decode a body. Raises Malformed when `raw` is not JSON, Invalid when it is not valid for the type.

        An empty body counts as `{}` if the model has no required field.
        """
        if not raw.strip():
            if not self._empty_is_object:
                raise Malformed("the body is empty; JSON was expected")
            raw = b"{}"
        if b"\\u0000" in raw or b"NaN" in raw or b"Infinity" in raw:
            _refuse_the_unstorable(raw)
        try:
            # Strict, as JSON has types of its own: "5" is not a number, and 1 is neither true nor a time.
            value: T = self._validate(raw, strict=True)
        except ValidationError as error:
            _raise(error, self._kind, "body")
        _refuse_repeated_keys(raw)
        return value


class QueryReader(Generic[T]):
    """Decodes a query string into one flat model. A parameter may be repeated if its field is a list."""

    def __init__(self, model: type[T]) -> None:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError(f"a query is described by a pydantic model, not by {model!r}")
        self._model = model
        self._many = {name: _takes_many(field.annotation) for name, field in _named_fields(model)}

    def read(self, query: MultiMapping[str]) -> T:
        """Decode a query. Raises Invalid for unknown, repeated or invalid parameters."""
        values: dict[str, object] = {}
        errors: list[FieldError] = []
        for name in query:
            if name in values:
                continue
            given = query.getall(name)
            many = self._many.get(name)
            if many is None:
                errors.append(unknown_field(("query", name), self._many, what="query parameter"))
            elif not many and len(given) > 1:
                errors.append(FieldError(("query", name), "is given more than once", "repeated"))
            elif any(_NUL in value for value in given):
                errors.append(_nul(("query", name)))
            else:
                values[name] = given if many else given[0]
        if errors:
            raise Invalid(errors)
        try:
            return self._model.model_validate(values)  # type: ignore[attr-defined, no-any-return]
        except ValidationError as error:
            _raise(error, self._model, "query")


def refuse_query(query: MultiMapping[str]) -> None:
    """For routes without query parameters: raises Invalid if there is one."""
    if query:
        raise Invalid([unknown_field(("query", name), (), what="query parameter") for name in dict.fromkeys(query)])


def unknown_field(
    loc: tuple[str | int, ...], valid: Mapping[str, object] | Sequence[str], *, what: str = "field"
) -> FieldError:
    """The error for an unknown name, with the most similar valid name."""
    names = list(valid)
    near = _nearest(str(loc[-1]).lower(), names)
    hint = f"did you mean {near}?" if near else f"valid are {', '.join(names)}" if names else "there are none here"
    return FieldError(loc, f"unknown {what} {shortened(str(loc[-1]))}; {hint}", "unknown")


def _nearest(name: str, valid: Sequence[str]) -> str | None:
    """The most similar valid name, or one of which either is an abbreviation: `env` for `enviroment`."""
    similar = get_close_matches(name, valid, n=1, cutoff=0.5)
    longer = (one for one in valid if min(len(one), len(name)) >= 3 and (one.startswith(name) or name.startswith(one)))
    return next(iter(similar), None) or next(longer, None)


def invalid(error: ValidationError, kind: object, place: str = "body") -> Invalid:
    """The errors of a value of some type, as those of a request: for what a request makes of something stored."""
    found = error.errors(include_url=False, include_input=False)
    return Invalid([_field_error(one, kind, place) for one in found[:MAX_ERRORS]])


def _raise(error: ValidationError, kind: object, place: str) -> NoReturn:
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        raise Malformed(found[0]["msg"].replace("Invalid JSON: ", "the body is not JSON: ")) from None
    raise invalid(error, kind, place) from None


def _field_error(one: ErrorDetails, kind: object, place: str) -> FieldError:
    loc = one["loc"]
    readable = (place, *readable_location(loc))
    if one["type"] == "extra_forbidden":
        valid = dict.fromkeys(name for owner in _owners(kind, loc[:-1]) for name, _ in _named_fields(owner))
        return unknown_field(readable, valid)
    return FieldError(readable, what_would_be_right(one), one["type"])


def _owners(kind: object, loc: tuple[str | int, ...]) -> Iterator[type[BaseModel]]:
    """The models that an error at `loc` may be about: one, or each member of a union that fits."""
    kind = _unannotated(kind)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        members = [owner for arg in args for owner in _owners(arg, loc)]
        # pydantic adds a union's own label to the location; the rest may fit without it.
        yield from members or (owner for arg in args if loc for owner in _owners(arg, loc[1:]))
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        if not loc:
            yield kind
        else:
            fields = dict(_named_fields(kind))
            if str(loc[0]) in fields:
                yield from _owners(fields[str(loc[0])].annotation, loc[1:])
    elif args and loc:
        yield from _owners(args[-1] if origin is dict else args[0], loc[1:])


def _named_fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield (field.alias or name), field


def _unannotated(kind: object) -> object:
    while get_origin(kind) is Annotated or isinstance(kind, TypeAliasType):
        kind = kind.__value__ if isinstance(kind, TypeAliasType) else get_args(kind)[0]
    return kind


def _takes_many(kind: object) -> bool:
    kind = _unannotated(kind)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return any(_takes_many(arg) for arg in get_args(kind))
    return kind in _SEQUENCES or origin in _SEQUENCES


def _accepts_empty_object(kind: object) -> bool:
    return (
        isinstance(kind, type)
        and issubclass(kind, BaseModel)
        and not any(field.is_required() for field in kind.model_fields.values())
    )


def _refuse_the_unstorable(raw: bytes) -> None:
    """NUL is legal in JSON but not in PostgreSQL's text; NaN and Infinity are not legal JSON at all."""

    def refuse_constant(name: str) -> NoReturn:
        raise Malformed(f"the body is not JSON: {name} is not a number")

    try:
        value = json.loads(raw, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return  # pydantic reads it again and reports where it is wrong
    if errors := [_nul(loc) for loc in _nuls(value, ("body",))]:
        raise Invalid(errors)


class _Pairs(list[tuple[str, object]]):
    """The members of a JSON object in order, repeated keys included."""


class _Repeated(Exception):
    pass


def _without_repeated_keys(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _Repeated


# Python refuses to parse an integer of thousands of digits, and this decoder does not need the value.
_LOOK: Final = json.JSONDecoder(object_pairs_hook=_without_repeated_keys, parse_int=float, strict=False)
"""Finds repeated keys without building objects, at a fraction of the cost of validation."""


def _refuse_repeated_keys(raw: bytes) -> None:
    """Raises Invalid for an object with a repeated key: parsers differ on whether the first or the last value counts.

    `raw` is known to be JSON.
    """
    try:
        _LOOK.decode(raw.decode())
    except _Repeated:
        whole = json.loads(raw, object_pairs_hook=_Pairs, parse_int=float, strict=False)
        raise Invalid(list(islice(_repeated(whole, ("body",)), MAX_ERRORS))) from None


def _repeated(value: object, loc: tuple[str | int, ...]) -> Iterator[FieldError]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, inner in value:
            if key in seen:
                yield FieldError((*loc, key), f"the key {shortened(key)} is given more than once", "repeated_key")
            seen.add(key)
            yield from _repeated(inner, (*loc, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, list):
                yield from _repeated(inner, (*loc, index))


def _nuls(value: object, loc: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, str):
        if _NUL in value:
            yield loc
    elif isinstance(value, dict):
        for key, inner in value.items():
            if _NUL in key:
                yield (*loc, key.replace(_NUL, "\\u0000"))
            yield from _nuls(inner, (*loc, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _nuls(inner, (*loc, index))


def _nul(loc: tuple[str | int, ...]) -> FieldError:
    return FieldError(loc, "must not contain the NUL character", "nul_character")
