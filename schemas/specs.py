"""How users define what runs: steps, retries and resources, and the part of it that reaches the worker.

`StepSpec` is one step of a pipeline and, inline, one single-command job. `RunSpec` is the part of it that
the worker needs to run one execution; the scheduler passes it on unread.
"""

import os
import shlex
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PrivateAttr,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from typing_extensions import TypeAliasType

from schemas import sizes, words
from schemas.matrix import MatrixSpec
from schemas.model import EventModel, Model, OrDefault, without_controls
from schemas.sizes import MAX_ARGUMENT, MAX_PATH, MAX_PROCESS

MAX_STEPS: Final = 1000
MAX_SECONDS: Final = 366 * 24 * 3600.0
CLEANUP_TIMEOUT: Final = 60.0
"""Seconds that the `always` steps of a job may take after it was stopped, by default."""
MAX_CLEANUP: Final = 24 * 3600.0
MAX_CONDITION: Final = 2000
"""The most characters of a step's `if`."""
MAX_SLOTS: Final = 10_000
"""How many executions a worker may be allowed to run at once."""
MAX_PREFETCH: Final = 10_000
"""How many more a worker may be allowed to take in advance."""

Slug = Annotated[str, StringConstraints(pattern=words.SLUG)]
"""A step's name: letters, digits, `_`, `.`, `-`; it starts with a letter or a digit; at most 100 characters."""
LabelKey = Annotated[str, StringConstraints(pattern=words.LABEL_KEY)]
LabelValue = Annotated[str, StringConstraints(max_length=200), AfterValidator(without_controls)]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=64)]
KeptLabels = Annotated[dict[LabelKey, Annotated[str, StringConstraints(max_length=200)]], Field(max_length=64)]
"""`Labels` as stored: some were accepted before values were checked for control characters."""
WorkerType = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(without_controls)]
"""The type of a worker: steps may require it as the label `type`."""
LabelFilter = Annotated[str, StringConstraints(pattern=words.LABEL), Field(examples=["team=web"])]
"""KEY=VALUE in a query."""
_LABELS: Final = TypeAdapter[dict[str, str]](Labels)
_LABELS_FORM: Final = "labels are written key=value,key=value"
_CAPACITY_FORM: Final = "cpu_m=4000,memory_mb=8000,gpu=1"
EnvName = Annotated[str, StringConstraints(pattern=words.VARIABLE, max_length=200)]
EnvValue = str
"""Its bytes are limited together with those of its name: `schemas.sizes`."""


def _variables_fit(env: dict[str, str]) -> dict[str, str]:
    if faults := sizes.too_large_variables(env):
        raise ValueError("; ".join(faults))
    return env


Env = Annotated[dict[EnvName, EnvValue], Field(max_length=500), AfterValidator(_variables_fit)]
"""An environment. Each variable by itself fits a process; the sum of all is checked with the command."""
Argument = Annotated[str, StringConstraints(max_length=MAX_ARGUMENT)]


def _path_fits(path: str) -> str:
    if (size := len(path.encode())) > MAX_PATH:
        raise ValueError(f"has {size:,} bytes; a path may have at most {MAX_PATH:,}")
    return path


Folder = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_path_fits)]


def _form(command: object) -> str | None:
    return "[text]" if isinstance(command, str) else "[words]" if isinstance(command, list) else None


Command = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=MAX_ARGUMENT), Tag("[text]")]
    | Annotated[list[Argument], Field(min_length=1, max_length=1000), Tag("[words]")],
    Discriminator(
        _form, custom_error_type="command_type", custom_error_message="a command is a string or a list of strings"
    ),
]
"""The form is chosen before validation, so that an error is about the form that was given."""
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False)]
CleanupSeconds = Annotated[float, Field(gt=0, le=MAX_CLEANUP, allow_inf_nan=False)]
StepType = TypeAliasType("StepType", Literal["shell", "bash", "python", "exec"])
When = TypeAliasType("When", Literal["on_success", "on_failure", "always"])
Priority = TypeAliasType("Priority", Literal["low", "normal", "high", "critical"])
"""Named types are components of the OpenAPI documents, and so one class each in generated clients."""
PRIORITY_RANK: Final[dict[Priority, int]] = {"low": 0, "normal": 1, "high": 2, "critical": 3}


def read_labels(text: str) -> dict[str, str]:
    """Labels as in `HODEI_WORKER_LABELS`: `key=value,key=value`, or a JSON object, which allows any value.

    Raises ValueError, in one line.
    """
    try:
        if text.lstrip().startswith(("{", "[")):
            return _LABELS.validate_json(text)
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        if any(not sign for _, sign, _ in pairs):
            raise ValueError(_LABELS_FORM)
        given = {key.strip(): value.strip() for key, _, value in pairs}
        if len(given) < len(pairs):
            raise ValueError("a key is used twice")
        return _LABELS.validate_python(given)
    except ValidationError as error:
        wrong = error.errors()[0]
        if wrong["type"] == "json_invalid":
            raise ValueError(f"{_LABELS_FORM}, or as a JSON object; this is neither") from None
        where = [repr(part) for part in wrong["loc"] if part != "[key]"]
        raise ValueError(" ".join([*where[:1], words.what_would_be_right(wrong)])) from None


class RetrySpec(Model):
    """How often, and how long after a failure, a step is tried again: delay * factor^(attempt-1), capped."""

    max_attempts: OrDefault[int] = Field(1, ge=1, le=100, description="The most attempts, including the first one.")
    delay: OrDefault[float] = Field(1.0, ge=0, le=86_400, description="Delay before the second attempt, in seconds.")
    factor: OrDefault[float] = Field(2.0, ge=1, le=100, description="The factor by which each further delay grows.")
    max_delay: OrDefault[float] = Field(3600.0, ge=0, le=86_400, description="The longest delay, in seconds.")
    jitter: OrDefault[bool] = Field(
        True,
        description="Choose each delay at random from the upper half of its range, so that retries are spread out.",
    )
    on_exit_codes: list[Annotated[int, Field(ge=1, le=255)]] | None = Field(
        None, max_length=255, description="Retry only after these exit codes; by default after every failure."
    )


class Resources(Model):
    """The resources that one execution needs; zero means no requirement."""

    cpu_m: OrDefault[int] = Field(0, ge=0, le=1_000_000, description="CPU in thousandths of a core.")
    memory_mb: OrDefault[int] = Field(0, ge=0, le=100_000_000, description="Memory in MiB.")
    gpu: OrDefault[int] = Field(0, ge=0, le=1024, description="Whole GPUs.")


class Capacity(Model):
    """A worker's capacity for executions with `resources`; a missing member takes the machine's value."""

    cpu_m: int | None = Field(None, ge=0, le=1_000_000, description="CPU in thousandths of a core.")
    memory_mb: int | None = Field(None, ge=0, le=100_000_000, description="Memory in MiB.")
    gpu: int | None = Field(None, ge=0, le=1024, description="Whole GPUs.")

    def over(self, machine: Resources) -> Resources:
        """The whole of it, on this machine."""
        return machine.model_copy(update=self.model_dump(exclude_none=True))

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.model_dump(exclude_none=True).items())


def default_slots() -> int:
    """How many executions a worker runs at once by default: commands wait more than they compute."""
    return max(8, 2 * (os.cpu_count() or 1))


def read_capacity(text: str) -> Capacity:
    """A capacity as `HODEI_WORKER_CAPACITY` and `str` of one have it: `cpu_m=4000,memory_mb=8000,gpu=1`, or a part.

    Raises ValueError, in one line.
    """
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if any(not sign for _, sign, _ in pairs):
        raise ValueError(f"a capacity is written {_CAPACITY_FORM}")
    given = {name.strip(): value.strip() for name, _, value in pairs}
    if len(given) < len(pairs):
        raise ValueError("a name is used twice")
    try:
        return Capacity.model_validate(given)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = ".".join(map(str, wrong["loc"]))
        if wrong["type"] == "extra_forbidden":
            raise ValueError(f"{name!r} is not one of {', '.join(Capacity.model_fields)}") from None
        raise ValueError(f"{name} {words.what_would_be_right(wrong)}") from None


class StepBase(Model):
    """The fields of every step of a pipeline, whatever it does."""

    name: Slug = Field(description="Unique in its pipeline: letters, digits, `_`, `.` and `-`.")
    depends_on: OrDefault[list[Slug]] = Field(
        default_factory=list, max_length=MAX_STEPS, description="Names of the steps that must end before it starts."
    )
    when: OrDefault[When] = Field(
        "on_success",
        description="on_success: if all steps that it depends on succeeded. on_failure: if one of them failed, or one "
        "behind a skipped step. always: whatever they did, also after a cancel, for at most `cleanup_timeout`.",
    )
    condition: Annotated[str, StringConstraints(min_length=1, max_length=MAX_CONDITION)] | None = Field(
        None, alias="if", description="A CEL expression over `params`, `steps` and `job`; the step is skipped if false."
    )
    allow_failure: OrDefault[bool] = Field(
        False, description="Whether the job and the steps that depend on this one go on when it fails."
    )
    labels: OrDefault[Labels] = Field(
        default_factory=dict, description="Labels of your choice. The step's tasks and their events contain them."
    )

    @model_validator(mode="after")
    def _dependencies_make_sense(self) -> Self:
        if len(set(self.depends_on)) != len(self.depends_on):
            raise ValueError(f"step {self.name!r} names a dependency twice")
        if self.when != "on_success" and not self.depends_on:
            raise ValueError(f"when: {self.when} needs depends_on, the steps whose end step {self.name!r} waits for")
        return self


class CommandSpec(Model):
    """The fields that a step and an inline job share."""

    command: Command = Field(
        description="A string for a shell or interpreter, or a list of the program and its arguments."
    )
    type: OrDefault[StepType] = Field(
        "shell",
        description="How it is started: `shell` with `/bin/sh -c`, `bash` with `bash -c`, `python` with `python3 -c`, "
        "`exec` as the program itself.",
    )
    env: OrDefault[Env] = Field(default_factory=dict, description="Environment variables of the process.")
    working_dir: Folder | None = Field(
        None, description="The working directory on the worker; by default a new, empty one."
    )
    timeout: Seconds | None = Field(None, description="Time limit of one execution, in seconds.")
    queue_timeout: Seconds | None = Field(None, description="How long the task may wait for a worker, in seconds.")
    retry: RetrySpec | None = Field(None, description="Whether and when a failed attempt is retried; by default never.")
    retry_on_lost: OrDefault[bool] = Field(
        True, description="Whether the task is retried when its worker is lost. `false`: it runs at most once."
    )
    max_crashes: OrDefault[int] = Field(
        3, ge=0, le=100, description="How often a task is retried because its worker was lost."
    )
    requires: OrDefault[KeptLabels] = Field(default_factory=dict, description="Labels that the worker must have.")
    resources: Resources | None = Field(None, description="The resources that one execution needs.")

    @field_validator("command")
    @classmethod
    def _no_empty_program(cls, command: Command) -> Command:
        if isinstance(command, str) and not command.strip():
            raise ValueError("the command is blank")
        if isinstance(command, list) and not command[0]:
            raise ValueError("the first argument names the program and must not be empty")
        if "\0" in (command if isinstance(command, str) else "".join(command)):
            raise ValueError("a command cannot contain a NUL character")
        return command

    @model_validator(mode="after")
    def _can_be_started(self) -> Self:
        length = sizes.command_characters(self.command)
        variables = sizes.environment_characters(self.env)
        if length <= MAX_ARGUMENT // 8 and variables <= MAX_PROCESS // 8 and self.type != "exec":
            return self  # whatever quoting and UTF-8 make of it, it fits
        try:
            arguments = self.run_spec(env={}).argv()
        except ValueError as error:
            raise ValueError(f"command: cannot be split into words: {error}") from None
        if not arguments or not arguments[0]:
            raise ValueError("command: names no program")
        if (longest := max(len(one.encode()) for one in arguments)) > MAX_ARGUMENT:
            raise ValueError(
                f"command: an argument of {longest} bytes is longer than a process allows ({MAX_ARGUMENT}): "
                "put it into a file, or pass it in parts"
            )
        if (size := sizes.argument_bytes(arguments) + sizes.environment_bytes(self.env)) > MAX_PROCESS:
            raise ValueError(
                f"env: the variables and the arguments of the command take {size:,} bytes together; "
                f"a process takes at most {MAX_PROCESS:,}"
            )
        return self

    def run_spec(self, *, env: dict[str, str]) -> "RunSpec":
        """What the worker needs, with the whole environment resolved."""
        return RunSpec(
            command=self.command, type=self.type, env=env, working_dir=self.working_dir, timeout=self.timeout
        )


class StepSpec(CommandSpec, StepBase):
    """A step of a pipeline that runs a command."""

    matrix: MatrixSpec | None = Field(None, description="The step has a task for each combination of these values.")


class InlineCommand(Model):
    """The fields of one step within another request; `env` may be given without a `command` as well."""

    command: Command | None = Field(
        None, description="A string for a shell or interpreter, or a list of the program and its arguments."
    )
    type: StepType | None = Field(None, description="shell (default), bash, python or exec.")
    env: OrDefault[Env] = Field(default_factory=dict, description="Environment variables of the processes.")
    working_dir: Folder | None = Field(
        None, description="The working directory on the worker; by default a new, empty one."
    )
    timeout: Seconds | None = Field(None, description="Time limit of one execution, in seconds.")
    queue_timeout: Seconds | None = Field(None, description="How long the task may wait for a worker, in seconds.")
    retry: RetrySpec | None = Field(None, description="Whether and when a failed attempt is retried; by default never.")
    retry_on_lost: bool | None = Field(
        None, description="Whether the task is retried when its worker is lost. `false`: it runs at most once."
    )
    max_crashes: int | None = Field(
        None, ge=0, le=100, description="How often a task is retried because its worker was lost."
    )
    requires: Labels | None = Field(None, description="Labels that the worker must have.")
    resources: Resources | None = Field(None, description="The resources that one execution needs.")
    _spec: CommandSpec | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _step_fields_need_a_command(self) -> Self:
        if self.command is not None:
            self._spec = self._make_spec()  # its own rules, told as this model's errors
        elif stray := sorted(
            name for name in CommandSpec.model_fields if name != "env" and getattr(self, name) is not None
        ):
            raise ValueError(f"{', '.join(stray)}: only with an inline command")
        return self

    def command_spec(self) -> CommandSpec:
        """The inline step. Raises ValueError when no command was given."""
        if self._spec is None:
            raise ValueError("there is no inline command")
        return self._spec

    def _make_spec(self) -> CommandSpec:
        given = {name: getattr(self, name) for name in CommandSpec.model_fields}
        return CommandSpec.model_validate({name: value for name, value in given.items() if value is not None})

    def exactly_one_of(self, *names: str) -> None:
        """Raise ValueError unless exactly one of these fields was given."""
        if sum(getattr(self, name) is not None for name in names) != 1:
            raise ValueError(f"exactly one of {', '.join(names)} is needed")


class RunSpec(EventModel):
    """One execution's command, as the worker gets it."""

    command: str | list[str]
    type: StepType = "shell"
    env: dict[str, str] = Field(default_factory=dict)
    working_dir: str | None = None
    timeout: float | None = None

    def argv(self) -> list[str]:
        """The argument vector to start. A list given to a shell or interpreter type is joined by its own rules:
        `shell` and `bash` quote each element, `python` runs the list as the program's source lines."""
        match self.type, self.command:
            case "exec", list() as argv:
                return argv
            case "exec", str() as text:
                return shlex.split(text)
            case kind, list() as argv if kind == "python":
                return ["python3", "-c", "\n".join(argv)]
            case kind, list() as argv:
                return [_INTERPRETER[kind], "-c", shlex.join(argv)]
            case "python", str() as text:
                return ["python3", "-c", text]
            case kind, text:
                return [_INTERPRETER[kind], "-c", str(text)]


_INTERPRETER: Final[dict[str, str]] = {"shell": "/bin/sh", "bash": "bash"}
