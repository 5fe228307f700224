"""Pipelines as files: which files a command means, what the orchestrator finds wrong in them, and how a pipeline is
written as one.

The orchestrator reads and checks the text (`POST /api/v1/pipelines/validate`); this program only passes it on.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hodei.client import ApiError, Client
from hodei.escapes import escaped
from hodei.yaml_text import to_yaml
from schemas.concurrency import ConcurrencySpec
from schemas.rest.pipelines import Pipeline, PipelineCreate
from schemas.sizes import MAX_PIPELINE_TEXT

SUFFIXES: Final = (".yaml", ".yml", ".json")
_FREE: Final = frozenset({"matrix", "params"})
"""Fields in which 1 and 1.0 are different values."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One error in one file; `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    field: str
    msg: str
    type: str

    def __str__(self) -> str:
        return ": ".join(filter(None, [f"{self.file}:{self.line}:{self.column}", self.field, self.msg]))

    def as_fields(self) -> dict[str, object]:
        """The finding as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Definition:
    """A file and the pipeline in it, which has no errors."""

    file: str
    pipeline: PipelineCreate


def files(paths: Sequence[Path]) -> list[Path]:
    """The files that paths mean: themselves, or those of a folder with a suffix of SUFFIXES, sorted. Raises
    typer.BadParameter for a path that does not exist, and for a folder without such files."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES and one.is_file())
            if not inside:
                raise typer.BadParameter(f"{path}: has no file that ends with {', '.join(SUFFIXES)}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise typer.BadParameter(f"{path}: there is no such file or folder")
    return list(dict.fromkeys(found))


async def checked(client: Client, paths: Sequence[Path]) -> tuple[list[Definition], list[Finding]]:
    """The pipelines of files, and everything that is wrong with them. Raises ClientError."""
    definitions: list[Definition] = []
    findings: list[Finding] = []
    for path in paths:
        found = await _check(client, path)
        if isinstance(found, PipelineCreate):
            definitions.append(Definition(str(path), found))
        else:
            findings += found
    first: dict[str, str] = {}
    for one in definitions:
        name = one.pipeline.name
        if (other := first.setdefault(name, one.file)) != one.file:
            findings.append(Finding(one.file, 1, 1, "name", f"{name!r} is also the name in {other}", "repeated_name"))
    return definitions, findings


async def _check(client: Client, path: Path) -> PipelineCreate | list[Finding]:
    try:
        raw = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        return [Finding(str(path), 1, 1, "", str(error.strerror), "unreadable")]
    if len(raw) > MAX_PIPELINE_TEXT:
        msg = f"has {len(raw):,} bytes; a pipeline's text takes at most {MAX_PIPELINE_TEXT:,}"
        return [Finding(str(path), 1, 1, "", msg, "too_large")]
    try:
        return await client.validate_pipeline(raw.decode())
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode().splitlines() or [""]
        msg = f"the byte 0x{raw[error.start]:02x} is not UTF-8: save the file as UTF-8"
        return [Finding(str(path), len(before), len(before[-1]) + 1, "", msg, "not_utf8")]
    except ApiError as error:
        if error.status != 422 or not error.problem.errors:
            raise
        return [
            Finding(str(path), one.line or 1, one.column or 1, _field(one.loc), one.msg, one.type)
            for one in error.problem.errors
        ]


def _field(loc: Sequence[str | int]) -> str:
    parts = list(loc[1:] if loc[:1] == ["body"] else loc)
    return "" if parts == ["yaml"] else ".".join(map(str, parts))


def show_findings(findings: Sequence[Finding]) -> None:
    """Print findings, a line each, as compilers do."""
    for one in findings:
        print(escaped(str(one)))


def text_of(pipeline: Pipeline | PipelineCreate) -> str:
    """A pipeline as YAML, without the fields that have their defaults. Reading it gives the same pipeline again."""
    fields = fields_of(pipeline)
    steps = fields.pop("steps", None)
    if isinstance(steps, list):
        named = {step["name"]: {key: value for key, value in step.items() if key != "name"} for step in steps}
        fields["steps"] = named
    return to_yaml(fields)


def fields_of(pipeline: Pipeline | PipelineCreate) -> dict[str, object]:
    """The fields of a pipeline that do not have their defaults, as JSON has them."""
    given = {name: field for name, field in PipelineCreate.model_fields.items() if hasattr(pipeline, name)}
    return _other_than_default(pipeline, given, free=False)


def _other_than_default(model: BaseModel, fields: Mapping[str, FieldInfo], *, free: bool) -> dict[str, object]:
    # The axes of a matrix are keys of their own beside its fields.
    found = {name: _plain(value, free=free) for name, value in (model.model_extra or {}).items()}
    for name, field in fields.items():
        value = getattr(model, name)
        if field.is_required() or value != field.get_default(call_default_factory=True):
            found[field.alias or name] = _plain(value, free=free or name in _FREE)
    return found


def _plain(value: object, *, free: bool) -> object:
    """The value as JSON has it, with 60 in place of 60.0 unless it is `free`."""
    match value:
        case ConcurrencySpec():
            return value.model_dump()  # whole: without its defaults, `{}` would say nothing to a reader
        case BaseModel():
            return _other_than_default(value, type(value).model_fields, free=free)
        case Mapping():
            return {str(key): _plain(inner, free=free) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner, free=free) for inner in value]
        case float() if value.is_integer() and not free:
            return int(value)
    return value
