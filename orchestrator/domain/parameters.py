"""The parameters of a job and the inputs of an approval: what was given, held against what is declared. Pure."""

from collections.abc import Mapping

from orchestrator.domain.graph import Fault
from orchestrator.domain.scope import hint
from schemas.outputs import MAX_OUTPUTS
from schemas.params import ParamSpec, Scalar, as_text


class InvalidParameters(ValueError):
    """The parameters or inputs are not those that are declared; `faults` has one error for each of them."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.loc[-1]}: {fault.msg}" for fault in faults))
        self.faults = tuple(faults)


def resolved(declared: Mapping[str, ParamSpec], given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The parameters of a job in the types declared, defaults included, in the order declared. A pipeline without
    declarations takes any strings. Raises InvalidParameters."""
    if not declared:
        _only_strings(given)
        return dict(given)
    return _accepted(declared, given, "params", "the pipeline declares no such parameter")


def resolved_inputs(declared: Mapping[str, ParamSpec], given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The inputs of an approval in the types declared, defaults included, in the order declared. Raises
    InvalidParameters."""
    values = _accepted(declared, given, "inputs", "the approval declares no such input")
    size = sum(len(name) + len(as_text(value).encode()) for name, value in values.items())
    if size > MAX_OUTPUTS:
        what = f"have {size:,} bytes; as outputs of a step they have at most {MAX_OUTPUTS:,}"
        raise InvalidParameters([Fault(("inputs",), what, "too_large")])
    return values


def _accepted(
    declared: Mapping[str, ParamSpec], given: Mapping[str, Scalar], field: str, unknown: str
) -> dict[str, Scalar]:
    faults = [
        Fault((field, name), f"{unknown}{hint(name, declared)}", "unknown_param")
        for name in given
        if name not in declared
    ]
    values: dict[str, Scalar] = {}
    for name, spec in declared.items():
        if name not in given:
            if spec.required:
                faults.append(Fault((field, name), f"is required, and {spec.expected}", "missing_param"))
            elif spec.default is not None:
                values[name] = spec.accept(spec.default)
            continue
        try:
            values[name] = spec.accept(given[name])
        except ValueError as error:
            faults.append(Fault((field, name), str(error), "param_value"))
    if faults:
        raise InvalidParameters(faults)
    return values


def _only_strings(given: Mapping[str, Scalar]) -> None:
    faults = [
        Fault(
            ("params", name),
            "should be a string: the pipeline declares no parameters, and so no types",
            "string_type",
        )
        for name, value in given.items()
        if not isinstance(value, str)
    ]
    if faults:
        raise InvalidParameters(faults)
