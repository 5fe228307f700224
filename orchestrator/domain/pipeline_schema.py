"""The JSON Schema (2020-12) of a pipeline's file, with which an editor checks and completes it.

It is generated from the models that check a pipeline, and adds what a file may use beside: `steps` as a map, `needs`,
a single name for a list of one (`document`). Pure.
"""

from typing import Any, Final, TypeAlias

from schemas.rest.pipelines import PipelineCreate
from schemas.specs import MAX_STEPS
from schemas.words import SLUG

Schema: TypeAlias = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_IN_A_MAP: Final = {"StepSpec": "StepInAMap", "ApprovalStep": "ApprovalInAMap"}
"""The schema of each kind of step, and that of such a step in a map, where its key is its name."""


def pipeline_schema() -> Schema:
    """The schema. Rules that JSON Schema cannot express, such as those of the graph, are not part of it."""
    schema: Schema = PipelineCreate.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
    definitions: Schema = schema["$defs"]
    for kind, title in _IN_A_MAP.items():
        step = definitions[kind]
        _with_needs(step)
        fields = {name: field for name, field in step["properties"].items() if name != "name"}
        required = [name for name in step["required"] if name != "name"]
        definitions[title] = {**step, "title": title, "properties": fields, "required": required}
    steps = schema["properties"]["steps"]
    steps["anyOf"] += [
        {
            "type": "object",
            "propertyNames": {"pattern": SLUG},
            "additionalProperties": {"oneOf": [{"$ref": f"#/$defs/{title}"} for title in _IN_A_MAP.values()]},
            "maxProperties": MAX_STEPS,
        }
    ]
    _close(schema)
    del schema["title"]
    return {"$schema": DIALECT, "title": "Hodei pipeline", **schema}


def _with_needs(step: Schema) -> None:
    depends_on = step["properties"]["depends_on"]
    names = next(one["items"] for one in depends_on["anyOf"] if one.get("type") == "array")
    depends_on["anyOf"].append(names)
    step["properties"]["needs"] = {**depends_on, "title": "Needs", "description": "Another word for `depends_on`."}
    step["not"] = {"required": ["depends_on", "needs"]}


def _close(schema: object) -> None:
    """Refuse the keys that no pattern of a map allows, as the models do."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema["additionalProperties"] = False
        for inner in schema.values():
            _close(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _close(inner)
