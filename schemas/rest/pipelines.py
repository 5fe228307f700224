"""Pipelines over REST: requests and responses. The orchestrator checks the graph."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, RootModel, model_validator

from schemas.access import Actor
from schemas.concurrency import ConcurrencySpec, KeyTemplate
from schemas.model import Id, Model, Name, OrDefault, Timestamp, without_controls
from schemas.params import Declarations, Parameters, ParamSpec, Scalar
from schemas.rest.lists import NameFilter, PageQuery, Who
from schemas.specs import (
    CLEANUP_TIMEOUT,
    MAX_STEPS,
    CleanupSeconds,
    Command,
    Env,
    Seconds,
    StepSpec,
    StepType,
    When,
)
from schemas.steps import Step

PipelineStatus = Literal["active", "archived"]


def _requires_can_be_shown(steps: list[Step]) -> list[Step]:
    # Not a rule of StepSpec, which also reads the steps of pipelines that were accepted without it.
    for step in steps:
        for key, value in step.requires.items() if isinstance(step, StepSpec) else ():
            try:
                without_controls(value)
            except ValueError as error:
                raise ValueError(f"step {step.name}: requires {key} {error}") from None
    return steps


class PipelineCreate(Model):
    """A named graph of steps. One without steps is legal: a job of it succeeds at once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "nightly-build",
                    "steps": [
                        {"name": "fetch", "command": "echo fetching"},
                        {"name": "test", "command": "echo testing", "depends_on": ["fetch"], "timeout": 60},
                    ],
                }
            ]
        }
    )

    name: Name = Field(description="The pipeline's name; several pipelines may have the same name.")
    description: str | None = Field(None, max_length=10_000, description="What the pipeline is for.")
    steps: OrDefault[Annotated[list[Step], AfterValidator(_requires_can_be_shown)]] = Field(
        default_factory=list, max_length=MAX_STEPS, description="The steps, and for each the steps that it depends on."
    )
    env: OrDefault[Env] = Field(
        default_factory=dict, description="Environment variables of every step; a step's own `env` takes precedence."
    )
    params: OrDefault[Declarations] = Field(
        default_factory=dict,
        description="The parameters that a job may have, by name. Without any, a job may have all that are strings.",
    )
    timeout: Seconds | None = Field(None, description="Time limit of a whole job, in seconds.")
    cleanup_timeout: OrDefault[CleanupSeconds] = Field(
        CLEANUP_TIMEOUT, description="Time limit of `always` steps after a cancel or the timeout, in seconds."
    )
    concurrency_key: KeyTemplate | None = Field(
        None,
        description="Jobs with the same key limit each other, also those of other pipelines. It may have expressions "
        "over parameters, such as `deploy-${{ params.env }}`.",
    )
    concurrency: ConcurrencySpec | None = Field(None, description="How many jobs with this key run at once.")

    @model_validator(mode="after")
    def _about_a_key(self) -> Self:
        if self.concurrency is not None and self.concurrency_key is None:
            raise ValueError("concurrency: needs a concurrency_key, which says what jobs it is about")
        return self


class PipelineText(Model):
    """A pipeline as the text of a file."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"yaml": "name: nightly\nsteps:\n  fetch: {command: echo fetching}\n"}]}
    )

    yaml: str = Field(
        description="YAML 1.2, or JSON: the fields of a pipeline. `steps` may be a map from name to step, and `needs` "
        "is another word for `depends_on`. At most 256 KiB.",
    )


class PipelineSource(RootModel[PipelineText | PipelineCreate]):
    """A pipeline: its fields, or the text of a file."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"yaml": "steps: {fetch: {command: echo fetching}}\nname: nightly\n"}]}
    )


class ValidatedPipeline(Model):
    """A pipeline without errors."""

    pipeline: PipelineCreate = Field(description="The pipeline with all its fields, defaults included.")


class PipelinePlanRequest(Model):
    """A pipeline, by its fields or as the text of a file, and the parameters of a job of it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"yaml": "name: nightly\nsteps: {fetch: {command: 'echo $HODEI_PARAM_URL'}}"}]}
    )

    pipeline: PipelineCreate | None = Field(None, description="The fields of the pipeline; not together with `yaml`.")
    yaml: str | None = Field(None, description="The text of a file, as for `validate`.")
    params: OrDefault[Parameters] = Field(default_factory=dict, description="Parameters of the job.")


class PlannedTask(Model):
    """A task that a job would have."""

    name: str = Field(description="The step's name.")
    index: int | None = Field(description="The task's place in the step's matrix, from 0.")
    matrix: dict[str, Scalar] | None = Field(
        description="The values of the step's matrix for this task; null without a matrix."
    )
    depends_on: list[str] = Field(description="The steps that must end before this one starts.")
    when: When = Field(description="After which outcomes of the steps that it depends on it runs.")
    condition: str | None = Field(alias="if", description="A CEL expression; the step is skipped if it is false.")
    allow_failure: bool = Field(
        description="Whether the job and the steps that depend on this one go on when it fails."
    )
    type: StepType | Literal["approval"] = Field(
        description="How the command is started: `shell`, `bash`, `python` or `exec`; or `approval`."
    )
    command: Command | None = Field(description="The command; null for an approval.")
    env: dict[str, str] = Field(description="The step's own variables.")
    working_dir: str | None = Field(description="The working directory on the worker; null for a new, empty one.")
    decided_at_run_time: list[str] = Field(
        description="The fields of this task that are decided when it runs: `when`, `if`, and fields with expressions "
        "such as outputs of other steps, which are shown as written. Other expressions are shown with their values."
    )


class PipelinePlan(Model):
    """What a job of a pipeline would consist of."""

    tasks: list[PlannedTask] = Field(description="The tasks, in the order of the steps.")
    concurrency_key: str | None = Field(
        None, description="The job's concurrency key, with the values of its expressions."
    )
    concurrency: ConcurrencySpec | None = Field(None, description="How many jobs with this key run at once.")


class Pipeline(Model):
    """A named graph of steps, at its newest version. For callers with a role below `operator`, values that look like
    secrets are masked: in `env`, in the defaults of `params`, and in the steps' `env`, `matrix` and `inputs`."""

    id: Id = Field(description="The pipeline's id.")
    name: str = Field(description="The pipeline's name.")
    description: str | None = Field(description="What the pipeline is for.")
    status: PipelineStatus = Field(
        description="Whether it is archived: no new jobs are created from an archived pipeline."
    )
    version: int = Field(description="The version, from 1; each change creates the next one. A job keeps its version.")
    steps: list[Step] = Field(description="The steps, and for each the steps that it depends on.")
    env: dict[str, str] = Field(description="Environment variables of every step; a step's own `env` takes precedence.")
    params: dict[str, ParamSpec] = Field(
        description="The parameters that a job may have, by name. A masked default is `***`, or null where that is not "
        "a valid value."
    )
    timeout: float | None = Field(description="Time limit of a whole job, in seconds.")
    cleanup_timeout: float = Field(
        description="Time limit of `always` steps after a cancel or the timeout, in seconds."
    )
    concurrency_key: str | None = Field(None, description="The concurrency key of its jobs, as it was written.")
    concurrency: ConcurrencySpec | None = Field(None, description="How many jobs with this key run at once.")
    created_by: Actor | None = Field(None, description="Who created the pipeline; null with access off.")
    created_at: Timestamp = Field(description="When the pipeline was created.")
    updated_by: Actor | None = Field(None, description="Who created this version; null with access off.")
    updated_at: Timestamp = Field(description="When this version was created.")


class PipelineQuery(PageQuery):
    name: NameFilter = Field(
        None, description="Only pipelines with exactly this name or, with a `*` at the end, whose names begin with it."
    )
    status: PipelineStatus = Field(
        "active", description="`archived`: the archived pipelines instead of the active ones."
    )
    version: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Only pipelines whose latest version has this number."
    )
    created_by: Who = Field(None, description="Only pipelines that this token created: its id or its name.")
    updated_by: Who = Field(
        None, description="Only pipelines whose latest version this token created: its id or its name."
    )


class PipelineVersionQuery(PageQuery):
    updated_by: Who = Field(None, description="Only versions that this token created: its id or its name.")
