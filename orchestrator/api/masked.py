"""Pipelines, and the tasks made of them, for callers that may not change pipelines: values that look like secrets are
masked.

The rule is that of `shared.masking`; here is where in a definition such values are. Who may change pipelines gets the
whole text, to edit it. Not here: what is masked for everyone (`orchestrator.api.shown`, `shown_environment` in SQL).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson

from orchestrator.aside import Aside
from schemas.access import Role
from schemas.matrix import MatrixSpec
from shared import masking
from shared.access import lacking

_Json = dict[str, Any]
"""An object of a definition. Any: what is masked has been checked when it was stored, and the rest stays as it is."""

_Mask = Callable[[_Json], _Json]

QUICK: Final = 64 << 10
"""Characters of JSON that are masked at once, which takes about a millisecond. More are masked in a thread."""
_IN_A_TASK: Final = re.compile(r'"(?:inputs|matrix)"\s*:\s*\{\s*"')
"""A task with a matrix, or with an approval that has inputs."""


def limited() -> bool:
    """Whether the current caller has less than the role that may change pipelines."""
    return lacking(Role.OPERATOR) is not None


async def visible(shown: Sequence[str], mask: _Mask, aside: Aside) -> Sequence[str]:
    """Responses (JSON objects), masked if the current caller is limited."""
    if not limited() or not shown:
        return shown
    return await aside.run(partial(_all_masked, shown, mask), long=sum(map(len, shown)) > QUICK)


async def visible_job(shown: str, aside: Aside) -> str:
    """A job with its tasks (JSON), masked if the current caller is limited."""
    if not limited() or _IN_A_TASK.search(shown) is None:
        return shown
    [masked] = await visible([shown], _masked_job, aside)
    return masked


def masked_pipeline(pipeline: Mapping[str, Any]) -> _Json:
    """A pipeline with masked values: of its environment, of the defaults of its parameters, and in its steps."""
    return {
        **pipeline,
        "steps": [_masked_step(step) for step in pipeline["steps"]],
        "env": masking.shown(pipeline["env"]),
        "params": masked_declarations(pipeline["params"] or {}),
    }


def masked_approval(approval: Mapping[str, Any]) -> _Json:
    """An approval with masked defaults of its inputs."""
    return {**approval, "inputs": masked_declarations(approval.get("inputs") or {})}


def masked_declarations(declared: Mapping[str, _Json]) -> dict[str, _Json]:
    """Declared parameters, or inputs of an approval, with masked defaults. The choices stay: a caller chooses one."""
    return {name: _masked_declaration(name, spec) for name, spec in declared.items()}


def _all_masked(shown: Sequence[str], mask: _Mask) -> list[str]:
    return [orjson.dumps(mask(orjson.loads(one))).decode() for one in shown]


def _masked_job(job: _Json) -> _Json:
    return job | {"tasks": [_masked_task(task) for task in job["tasks"]]}


def _masked_task(task: _Json) -> _Json:
    masked = dict(task)
    if matrix := task["matrix"]:
        masked["matrix"] = masking.shown_params(matrix)
    if approval := task["approval"]:
        masked["approval"] = masked_approval(approval)
    return masked


def _masked_step(step: _Json) -> _Json:
    masked = dict(step)
    if env := step.get("env"):
        masked["env"] = masking.shown(env)
    if inputs := step.get("inputs"):
        masked["inputs"] = masked_declarations(inputs)
    if matrix := step.get("matrix"):
        masked["matrix"] = _masked_matrix(matrix)
    return masked


def _masked_matrix(matrix: _Json) -> _Json:
    """As many values as there are, so that the number of tasks can still be seen."""
    axes = {name: values for name, values in matrix.items() if name not in MatrixSpec.model_fields}
    combinations = {name: matrix[name] for name in ("include", "exclude") if matrix.get(name)}
    return {
        **matrix,
        **{name: [_masked(name, value) for value in values] for name, values in axes.items()},
        **{name: [masking.shown_params(entry) for entry in entries] for name, entries in combinations.items()},
    }


def _masked_declaration(name: str, spec: _Json) -> _Json:
    """The mask is a valid default of a string without a pattern; a default of any other kind is left out. Either way, a
    job that gives no value gets the default that is stored."""
    default = spec.get("default")
    if default is None or (masked := _masked(name, default)) == default:
        return spec
    takes_any_text = spec.get("type", "string") == "string" and spec.get("pattern") is None
    return spec | {"default": masked if takes_any_text else None}


def _masked(name: str, value: Any) -> Any:
    return masking.shown_params({name: value})[name]
