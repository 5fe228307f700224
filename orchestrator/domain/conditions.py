"""Conditions: the `if` of a step. Checks one when its pipeline is made, and evaluates it when its step is decided.

`orchestrator.domain.cel` reads and compiles the text. Only the values that a condition names are handed to CEL, and
the product of its weight and the length of these values is limited, so that an evaluation takes less than 50 ms. The
conditions of a job that are decided at once have a limit together. Pure.
"""

from dataclasses import dataclass
from typing import Final

from orchestrator.domain.cel import BadCondition, Use, at, cause_of, read
from orchestrator.domain.graph import Fault
from orchestrator.domain.scope import Scope, Values, hint, shown
from schemas.params import Scalar

MAX_WORK: Final = 50_000_000
"""The most that the weight of a condition times the characters of its values may be."""
MAX_TOGETHER: Final = 16 * MAX_WORK
"""The most work of all conditions of a job that are decided in one transaction. It takes about 0.3 s at most."""
MAX_CHARACTERS: Final = 1 << 20
"""The most characters of the values that one condition names."""


class ConditionError(ValueError):
    """A condition has no result: its evaluation failed, or its result is not a bool. The message is the detail of the
    task's failure: the condition and the cause."""


@dataclass(slots=True)
class Budget:
    """The work that the conditions of one transaction may still take."""

    left: int = MAX_TOGETHER

    def take(self, work: int) -> bool:
        """Take this much, if it is left. Returns whether it was."""
        if work > self.left:
            return False
        self.left -= work
        return True


def faults(text: str, loc: tuple[str | int, ...], scope: Scope) -> list[Fault]:
    """The faults of a condition: its syntax, its size, or the names in it; `loc` is its path."""
    try:
        condition = read(text)
    except BadCondition as error:
        return [Fault(loc, str(error), error.type)]
    found: dict[str, Fault] = {}
    for use in condition.uses:
        fault = None
        if use.path[0] == "params":
            fault = scope.param_fault(use.path[1])
        elif use.path[0] == "steps":
            fault = scope.step_fault(use.path[1])
            if fault is None and len(use.path) > 3:
                fault = scope.output_fault(use.path[1], use.path[3])
        if fault is not None:
            found.setdefault(fault[1], Fault(loc, f"{at(text, use.position)}: {fault[1]}", fault[0]))
    return list(found.values())


def evaluate(text: str, values: Values, budget: Budget) -> bool:
    """Whether the condition holds; its work is taken from the budget. Raises ConditionError."""
    try:
        condition = read(text)
        context, characters = _context(condition.uses, values)
        if characters > MAX_CHARACTERS or characters * condition.weight > MAX_WORK:
            most = min(MAX_CHARACTERS, MAX_WORK // condition.weight)
            raise ConditionError(_detail(text, f"its values have {characters:,} characters; it takes at most {most:,}"))
        if not budget.take(characters * condition.weight):
            raise ConditionError(_detail(text, "the conditions that are decided at once take too much"))
        result = condition.program.execute(context)
    except ConditionError:
        raise
    except KeyError as error:
        raise ConditionError(_detail(text, _missing(error, condition.uses, values))) from None
    except Exception as error:  # noqa: BLE001 - CEL raises many kinds, each with its cause in words
        raise ConditionError(_detail(text, cause_of(error))) from None
    if not isinstance(result, bool):
        raise ConditionError(_detail(text, f"its result is {_kind(result)}, not true or false"))
    return result


def _context(uses: tuple[Use, ...], values: Values) -> tuple[dict[str, object], int]:
    """The values that a condition names, and their characters. A value that does not exist is left out."""
    params: dict[str, Scalar] = {}
    steps: dict[str, dict[str, object]] = {}
    job = {"id": values.job_id, "name": values.job_name, "priority": values.priority}
    outputs: dict[str, dict[str, str]] = {}
    for use in uses:
        if use.path[0] == "params" and use.path[1] in values.params:
            params[use.path[1]] = values.params[use.path[1]]
        elif use.path[0] == "steps" and (view := values.view(use.path[1])) is not None:
            kept = outputs.setdefault(use.path[1], {})
            steps[use.path[1]] = {"status": view.status, "outputs": kept}
            if len(use.path) > 3 and use.path[3] in view.outputs:
                kept[use.path[3]] = view.outputs[use.path[3]]
    characters = sum(map(_characters, (*params.values(), *job.values())))
    characters += sum(len(text) for kept in outputs.values() for text in kept.values())
    return {"params": params, "steps": steps, "job": job}, characters


def _characters(value: Scalar) -> int:
    return len(value) if isinstance(value, str) else 1


def _missing(error: KeyError, uses: tuple[Use, ...], values: Values) -> str:
    name = str(error.args[0]) if error.args else ""
    for use in uses:
        if use.path[-1] == name and use.path[0] == "params" and name not in values.params:
            return f"the job has no parameter {shown(name)!r}{hint(name, values.params)}"
        view = values.view(use.path[1]) if use.path[3:] == (name,) else None
        if view is not None and name not in view.outputs:
            near = hint(name, view.outputs)
            return f"step {use.path[1]!r} has no output {shown(name)!r}{near}; has(…) tests for one"
    return f"there is no {shown(name)!r}"


def _kind(result: object) -> str:
    kinds = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "a map", type(None): "null"}
    return kinds.get(type(result), f"a {type(result).__name__}")


def _detail(text: str, cause: str) -> str:
    return f"if: {shown(' '.join(text.split()), 200)}: {cause}"
