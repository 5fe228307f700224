"""The parameters of a job: what was given, held against what its pipeline declares. Pure."""

from collections.abc import Mapping

from orchestrator.domain.graph import Fault
from orchestrator.domain.scope import hint
from schemas.params import ParamSpec, Scalar


class InvalidParameters(ValueError):
    """The parameters are not those that the pipeline declares; `faults` has one error for each of them."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.loc[-1]}: {fault.msg}" for fault in faults))
        self.faults = tuple(faults)


def resolved(declared: Mapping[str, ParamSpec], given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The parameters of a job in the types declared, defaults included, in the order declared. A pipeline without
    declarations takes any strings. Raises InvalidParameters."""
    if not declared:
        _only_strings(given)
        return dict(given)
    faults = [
        _fault(name, f"the pipeline declares no such parameter{hint(name, declared)}", "unknown_param")
        for name in given
        if name not in declared
    ]
    values: dict[str, Scalar] = {}
    for name, spec in declared.items():
        if name not in given:
            if spec.required:
                faults.append(_fault(name, f"is required, and {spec.expected}", "missing_param"))
            elif spec.default is not None:
                values[name] = spec.accept(spec.default)
            continue
        try:
            values[name] = spec.accept(given[name])
        except ValueError as error:
            faults.append(_fault(name, str(error), "param_value"))
    if faults:
        raise InvalidParameters(faults)
    return values


def _only_strings(given: Mapping[str, Scalar]) -> None:
    faults = [
        _fault(name, "should be a string: the pipeline declares no parameters, and so no types", "string_type")
        for name, value in given.items()
        if not isinstance(value, str)
    ]
    if faults:
        raise InvalidParameters(faults)


def _fault(name: str, message: str, kind: str) -> Fault:
    return Fault(("params", name), message, kind)
