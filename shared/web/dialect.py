"""Translates JSON Schema 2020-12, which pydantic writes, into the older dialect of OpenAPI 3.0.

Here: that translation, pure functions over plain dictionaries (OpenAPI 3.0.3, "Schema Object"). Not here: collecting
the schemas and writing the document (`openapi`).
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Schema: TypeAlias = dict[str, Json]

_NULL: Final[Schema] = {"nullable": True, "enum": [None]}  # a translated `type: null`
_DROPPED: Final = frozenset({"$comment", "$schema", "propertyNames", "contentMediaType", "contentEncoding"})
_NAMED_SCHEMAS: Final = frozenset({"properties", "patternProperties"})
_VERBATIM: Final = frozenset({"default", "enum", "const", "examples", "example", "required", "discriminator"})
OR_NULL: Final = "OrNull"
"""The suffix of the name of a component's nullable twin."""
_LIMITS: Final = (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum"))


def to_openapi_30(schema: Mapping[str, Json]) -> Schema:
    """The same schema in OpenAPI 3.0. Rules that 3.0 cannot express are left out, never changed."""
    out: Schema = {key: _translate(key, value) for key, value in schema.items() if key not in _DROPPED}
    _type_lists(out)
    if out.get("type") == "null":
        del out["type"]
        out |= {"nullable": True, "enum": [None]}
    for union in ("anyOf", "oneOf"):
        _nullable(out, union)
    if "const" in out:
        out["enum"] = [out.pop("const")]
    if isinstance(patterns := out.pop("patternProperties", None), dict):
        # 3.0 cannot express patterns for keys, only a schema for the values.
        values = list(patterns.values())
        out["additionalProperties"] = values[0] if len(values) == 1 else {"anyOf": values}
    for exclusive, limit in _LIMITS:
        if exclusive in out and not isinstance(out[exclusive], bool):
            out[limit] = out[exclusive]
            out[exclusive] = True
    if "prefixItems" in out:
        members = out.pop("prefixItems")
        out["items"] = {"anyOf": members} if members else {}
    if isinstance(examples := out.pop("examples", None), list) and examples:
        out["example"] = examples[0]
    if "$ref" in out and len(out) > 1:
        # 3.0 ignores all siblings of a $ref.
        out["allOf"] = [{"$ref": out.pop("$ref")}]
    return out


def _translate(key: str, value: Json) -> Json:
    if key in _VERBATIM:
        return value
    if key in _NAMED_SCHEMAS and isinstance(value, dict):
        return {name: to_openapi_30(one) if isinstance(one, dict) else one for name, one in value.items()}
    if isinstance(value, dict):
        return to_openapi_30(value)
    if isinstance(value, list):
        return [to_openapi_30(one) if isinstance(one, dict) else one for one in value]
    return value


def _type_lists(out: Schema) -> None:
    """Turn `type: [string, null]` into one type and `nullable`."""
    kinds = out.get("type")
    if isinstance(kinds, list):
        rest = [kind for kind in kinds if kind != "null"]
        if len(rest) < len(kinds):
            out["nullable"] = True
        if len(rest) == 1:
            out["type"] = rest[0]
        else:
            del out["type"]
            out["anyOf"] = [{"type": kind} for kind in rest]


def _nullable(out: Schema, union: str) -> None:
    """Turn a union with null into a union without it, one member of which is `nullable`.

    `nullable` only widens a `type` of the same schema (OpenAPI 3.0.3, proposal "Clarify semantics of nullable") and has
    no effect beside a reference. Such a member refers to the component's nullable twin instead (`or_null`), which
    `openapi` adds. An enum of null alone would make code generators write a class of its own.
    """
    members = out.get(union)
    if not isinstance(members, list) or _NULL not in members:
        return
    first, *others = [member for member in members if isinstance(member, dict) and member != _NULL]
    if others:
        out[union] = [or_null(first), *others]
        return
    del out[union]
    for key, value in or_null(first).items():
        out.setdefault(key, value)


def or_null(schema: Schema) -> Schema:
    """The translated schema with null as a further value; a reference to a component becomes one to its twin."""
    if isinstance(reference := schema.get("$ref"), str):
        return {**schema, "$ref": reference + OR_NULL}
    for union in ("allOf", "anyOf", "oneOf"):
        if isinstance(parts := schema.get(union), list) and parts and isinstance(parts[0], dict):
            return {**schema, union: [or_null(parts[0]), *parts[1:]]}
    if isinstance(values := schema.get("enum"), list):
        return {**schema, "nullable": True, "enum": [*values, None]}
    return {**schema, "nullable": True}


def without_null(schema: Schema) -> Schema:
    """The opposite of `or_null`, for query parameters, which cannot be null."""
    out = {key: value for key, value in schema.items() if key != "nullable"}
    if isinstance(reference := out.get("$ref"), str):
        out["$ref"] = reference.removesuffix(OR_NULL)
    if isinstance(values := out.get("enum"), list):
        out["enum"] = [value for value in values if value is not None]
    for union in ("allOf", "anyOf", "oneOf"):
        if isinstance(members := out.get(union), list):
            out[union] = [without_null(member) if isinstance(member, dict) else member for member in members]
    return out
