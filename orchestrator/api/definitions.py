"""Reads a pipeline that a request defines, as JSON or as the text of a file, and finds all its errors at once.

The errors of a text have the line and column of the field, or of its nearest parent if the field is missing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, Self, TypeVar

from pydantic import Field, model_validator
from pydantic_core import from_json, to_json

from orchestrator.aside import Aside
from orchestrator.domain.checking import check
from orchestrator.domain.document import BadText, Document, read_document
from orchestrator.domain.graph import Fault, InvalidGraph
from orchestrator.domain.partial import readable
from orchestrator.submission import Submission
from schemas.model import Model, OrDefault
from schemas.params import Parameters, Scalar
from schemas.rest.pipelines import PipelineCreate, PipelineText
from shared.errors import FieldError, Invalid
from shared.web import MAX_ERRORS, BodyReader

T = TypeVar("T")

QUICK: Final = 4096
"""Characters of a text, or bytes of a body, that are read at once. A longer one, which may take some 100 ms, is read in
a thread."""


class _PlanRequest(Model):
    """A `PipelinePlanRequest` whose pipeline is read on its own, so that all its errors are found."""

    pipeline: dict[str, object] | None = None
    yaml: str | None = None
    params: OrDefault[Parameters] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.pipeline is None) == (self.yaml is None):
            raise ValueError("exactly one of pipeline, yaml is needed")
        return self


_OBJECT: Final = BodyReader(dict[str, object])
_TEXT: Final = BodyReader(PipelineText)
_FIELDS: Final = BodyReader(PipelineCreate)
_PLAN: Final = BodyReader(_PlanRequest)
_KEYS: Final = frozenset({"unknown"})
"""Types of errors that are about a field's name."""
_TEXT_TYPES: Final = frozenset({"string_type", "command_type"})
"""Types of errors where text was expected."""
_ELSEWHERE: Final[Mapping[str, str]] = {
    "run": "command",
    "script": "command",
    "args": "command, a list",
    "strategy": "matrix, with max_parallel and fail_fast in it",
    "parallel": "matrix",
    "dependencies": "depends_on",
    "depends": "depends_on",
    "runs-on": "requires",
    "tags": "requires",
    "timeout-minutes": "timeout, in seconds",
    "timeout_minutes": "timeout, in seconds",
    "continue-on-error": "allow_failure",
    "continueOn": "allow_failure",
    "soft_fail": "allow_failure",
    "working-directory": "working_dir",
    "environment": "env",
    "variables": "env",
    "rules": "if",
    "retryStrategy": "retry",
}
"""Fields of a step in other systems, and what stands for them here. docs/pipelines.md has more of these words."""


class Definitions:
    """Reads pipelines; `submission` knows what is too large."""

    def __init__(self, submission: Submission, aside: Aside) -> None:
        self._submission = submission
        self._aside = aside

    async def read(self, body: bytes) -> PipelineCreate:
        """The pipeline in a body: its fields, or `yaml` with the text of a file. Raises Malformed and Invalid."""
        if "yaml" not in _OBJECT.read(body):
            return await self._run(len(body), partial(self._checked, body))
        return await self.of_text(_TEXT.read(body).yaml)

    async def read_plan(self, body: bytes) -> tuple[PipelineCreate, Mapping[str, Scalar]]:
        """The pipeline and the parameters of a `PipelinePlanRequest`. Raises Malformed and Invalid."""
        request = _PLAN.read(body)
        if request.yaml is not None:
            return await self.of_text(request.yaml), request.params
        fields = to_json(request.pipeline)
        try:
            return await self._run(len(fields), partial(self._checked, fields)), request.params
        except Invalid as error:
            raise Invalid([replace(one, loc=("body", "pipeline", *one.loc[1:])) for one in error.errors]) from None

    async def check(self, pipeline: PipelineCreate, body: bytes) -> None:
        """Check the graph and the size of a pipeline whose fields, read from the body, are valid. Raises Invalid."""
        await self._run(len(body), partial(self._check, pipeline))

    def _check(self, pipeline: PipelineCreate) -> None:
        if faults := _graph_faults(pipeline):
            raise Invalid(_as_errors(faults[:MAX_ERRORS]))
        self._submission.check_pipeline(pipeline)

    async def of_text(self, text: str) -> PipelineCreate:
        """The pipeline that a text defines. Raises Invalid."""
        return await self._run(len(text), partial(self._of_text, text))

    async def _run(self, size: int, read: Callable[[], T]) -> T:
        return await self._aside.run(read, long=size > QUICK)

    def _of_text(self, text: str) -> PipelineCreate:
        document, fields = _read(text)
        try:
            return self._checked(fields)
        except Invalid as error:
            placed = [_placed(one, document) for one in error.errors]
            raise Invalid(sorted(placed, key=lambda one: (one.line, one.column))) from None

    def _checked(self, fields: bytes) -> PipelineCreate:
        try:
            pipeline = _FIELDS.read(fields)
        except Invalid as error:
            partly = readable(from_json(fields), [one.loc[1:] for one in error.errors])
            more = partly.faults(_graph_faults(partly.pipeline))
            raise Invalid([*error.errors, *_as_errors(more)][:MAX_ERRORS]) from None
        self._check(pipeline)
        return pipeline


def _read(text: str) -> tuple[Document, bytes]:
    try:
        document = read_document(text)
    except BadText as error:
        raise Invalid(
            [FieldError(("body", *(one.loc or ("yaml",))), one.msg, one.type, *one.position) for one in error.faults]
        ) from None
    return document, to_json(document.fields)


def _placed(error: FieldError, document: Document) -> FieldError:
    """The error with its line and column. If text was expected, it shows the value in quotes."""
    loc = error.loc[1:]
    if error.type == "value_error":
        loc = (*loc, error.msg.partition(":")[0])  # a rule of a whole step begins with the field that it is about
    line, column = document.position(loc, of_key=error.type in _KEYS)
    written = document.written(loc) if error.type in _TEXT_TYPES else None
    msg = error.msg if written is None else f'{error.msg}: put it in quotes, "{written}"'
    if error.type == "unknown" and len(loc) == 3 and (here := _ELSEWHERE.get(str(loc[-1]))) is not None:
        msg = f"unknown field {loc[-1]}; here it is {here}"
    return FieldError(error.loc, msg, error.type, line, column)


def _graph_faults(pipeline: PipelineCreate) -> Sequence[Fault]:
    try:
        check(pipeline.steps, pipeline.params, pipeline.concurrency_key)
    except InvalidGraph as error:
        return error.faults
    return ()


def _as_errors(faults: Sequence[Fault]) -> list[FieldError]:
    return [FieldError(("body", *fault.loc), fault.msg, fault.type) for fault in faults]
