"""JSON Schema 2020-12, which pydantic writes, translated into the older dialect of OpenAPI 3.0.

Here: that translation, a pure function over plain dictionaries (OpenAPI 3.0.3, "Schema Object"). Not here: where
the schemas come from and where they go (`openapi`).
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Schema: TypeAlias = dict[str, Json]

_NULL: Final[Schema] = {"nullable": True, "enum": [None]}  # what a translated `type: null` looks like
_DROPPED: Final = frozenset(
    {"$comment", "$schema", "propertyNames", "patternProperties", "contentMediaType", "contentEncoding"}
)
_NAMED_SCHEMAS: Final = frozenset({"properties"})
_VERBATIM: Final = frozenset({"default", "enum", "const", "examples", "example", "required", "discriminator"})
_LIMITS: Final = (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum"))


def to_openapi_30(schema: Mapping[str, Json]) -> Schema:
    """The same schema in OpenAPI 3.0's words; what those cannot say is left out, never said wrongly."""
    out: Schema = {key: _translate(key, value) for key, value in schema.items() if key not in _DROPPED}
    _type_lists(out)
    if out.get("type") == "null":
        del out["type"]
        out |= {"nullable": True, "enum": [None]}
    for union in ("anyOf", "oneOf"):
        _nullable(out, union)
    if "const" in out:
        out["enum"] = [out.pop("const")]
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
        # Beside a $ref every sibling is ignored in 3.0.
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
    """`type: [string, null]` has to be one type and `nullable`."""
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
    """One type or null is that type and `nullable`; any other union keeps null as a member of its own.

    `nullable` beside a reference would say nothing: it only widens a `type` of the same schema (OpenAPI 3.0.3,
    proposal "Clarify semantics of nullable").
    """
    members = out.get(union)
    if not isinstance(members, list) or _NULL not in members:
        return
    match [member for member in members if member != _NULL]:
        case [dict() as only] if "type" in only and "enum" not in only:
            del out[union]
            out["nullable"] = True
            for key, value in only.items():
                out.setdefault(key, value)
        case _:
            pass
