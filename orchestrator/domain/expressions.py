"""Expressions: `${{ steps.build.outputs.VERSION }}` and the like, in the environment, the folder and the arguments of a
pipeline's step.

An expression is one reference, without operators or functions. A template is a text with expressions in it; `$${{`
stands for a literal `${{`. A value that takes the place of an expression is never read as a template again, and
expressions are not allowed where a value could become syntax: in a command string, or in source code. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, Protocol, assert_never

from orchestrator.domain.graph import Fault
from orchestrator.domain.scope import Scope, Values, hint, shown
from schemas.params import Scalar, as_text
from schemas.sizes import (
    MAX_ARGUMENT,
    MAX_PATH,
    MAX_PROCESS,
    argument_bytes,
    environment_bytes,
    too_large_variables,
)
from schemas.specs import RunSpec

Kind = Literal["output", "param", "matrix", "job", "step"]

MAX_EXPRESSION: Final = 300
"""The most characters between `${{` and `}}`."""

MAX_EXPRESSIONS: Final = 200
"""The most expressions in one text."""

OPEN: Final = "${{"
ESCAPED: Final = "$${{"
"""Stands for a literal `${{`."""
_CLOSE: Final = "}}"
_MARK: Final = re.compile(r"\$?\$\{\{")
_OUTPUT: Final = re.compile(r"steps\.([A-Za-z0-9][A-Za-z0-9_.-]{0,99})\.outputs\.([A-Za-z_][A-Za-z0-9_]{0,99})")
_NAMED: Final = re.compile(r"(params|matrix)\.([A-Za-z0-9_][A-Za-z0-9_.-]{0,199})")
_INTERPRETER: Final = re.compile(
    r"(?P<c>(?:ba|da|a|z|k|mk|c|tc|fi)?sh|(?:python|pypy)[0-9.]*)|(?:perl|ruby|node|php|lua)[0-9.]*"
)
_AFTER_C: Final = re.compile(r"-[A-Za-z]*c[A-Za-z]*|--command")
_AFTER_E: Final = re.compile(r"-[A-Za-z]*[eE]|-[rp]|--eval|--print")
"""The options after which an interpreter takes an argument for a program: `sh -c`, `bash -lc`, `perl -ne`."""
_HAS_VALUE: Final = re.compile(r"[-+][A-Za-z]*[oOWX]")
"""Options of the interpreters that take the next argument: `bash -o pipefail`, `python3 -W ignore`."""
_FORMS: Final = ("steps.NAME.outputs.NAME", "params.NAME", "matrix.AXIS", "job.id", "step.attempt")


class BadExpression(ValueError):
    """A template cannot be read, or has no value that the step can be started with. The message says why."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One expression of a template."""

    kind: Kind
    name: str
    """The output's, the parameter's or the axis's name; `id` or `attempt`."""
    step: str
    """The step whose output it is, or an empty text."""
    text: str
    """As it was written between the braces."""
    position: int
    """The index of its `${{` in the template."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with expressions, parsed."""

    parts: tuple[str | Reference, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """Its expressions, in the order written."""
        return tuple(part for part in self.parts if isinstance(part, Reference))


class Step(Protocol):
    """The fields of a step that may have expressions, or must not."""

    @property
    def command(self) -> str | list[str]: ...
    @property
    def type(self) -> str: ...
    @property
    def env(self) -> Mapping[str, str]: ...
    @property
    def working_dir(self) -> str | None: ...


def has_expressions(step: Step) -> bool:
    """Whether a step has to be rendered before it runs; an escaped `${{` counts as well."""
    return (
        any(OPEN in value for value in step.env.values())
        or OPEN in (step.working_dir or "")
        or any(OPEN in one for one in ([step.command] if isinstance(step.command, str) else step.command))
    )


@lru_cache(maxsize=1024)
def parse(text: str) -> Template:
    """Read a template. Raises BadExpression with the position of what is wrong."""
    parts: list[str | Reference] = []
    start = references = 0
    while (mark := _MARK.search(text, start)) is not None:
        if mark.start() > start:
            parts.append(text[start : mark.start()])
        if len(mark[0]) > len(OPEN):
            parts.append(OPEN)
            start = mark.end()
            continue
        end = text.find(_CLOSE, mark.end(), mark.end() + MAX_EXPRESSION + len(_CLOSE))
        if end < 0:
            raise BadExpression(
                f"the {OPEN!r} at character {mark.start() + 1} has no {_CLOSE!r} within {MAX_EXPRESSION} characters; "
                f"a literal {OPEN!r} is written {ESCAPED!r}"
            )
        references += 1
        if references > MAX_EXPRESSIONS:
            raise BadExpression(f"has more than {MAX_EXPRESSIONS} expressions")
        parts.append(_reference(text[mark.end() : end].strip(), mark.start()))
        start = end + len(_CLOSE)
    if start < len(text):
        parts.append(text[start:])
    return Template(tuple(parts))


def faults(step: Step, loc: tuple[str | int, ...], scope: Scope) -> list[Fault]:
    """The faults of all expressions of one step; `loc` is the path of the step."""
    found: list[Fault] = []
    for where, text in _templates(step):
        if OPEN in text:
            found += template_faults(text, (*loc, *where), scope)
    for where, text in _verbatim(step):
        if _unescaped(text):
            found.append(Fault((*loc, *where), _not_here(step), "expression_not_allowed"))
    return found


def render(text: str, values: Values, *, most: int = MAX_PROCESS) -> str:
    """The text with the values of its expressions. Raises BadExpression for a reference without a value, and if the
    result has more than `most` characters."""
    if OPEN not in text:
        return text
    parts: list[str] = []
    left = most
    for part in parse(text).parts:
        value = part if isinstance(part, str) else value_of(part, values)
        left -= len(value)
        if left < 0:
            raise BadExpression(f"with the values of its expressions, it has more than {most:,} characters")
        parts.append(value)
    return "".join(parts)


def rendered(run: RunSpec, values: Values, *, taken: int = 0) -> RunSpec:
    """The command of a task with the values of its expressions. Raises BadExpression, naming the field, if a process
    cannot be started with the result. `taken` is how many bytes the variables take that it gets besides."""
    left = MAX_PROCESS - taken
    env: dict[str, str] = {}
    for name, text in run.env.items():
        env[name] = _rendered_field(f"env.{name}", text, values, left)
        left -= len(env[name]) - len(text)
    if faulty := too_large_variables(env):
        raise BadExpression(f"env: with the values of its expressions, {faulty[0]}")
    folder = None if run.working_dir is None else _rendered_field("working_dir", run.working_dir, values, left)
    if folder is not None and not 0 < len(folder.encode()) <= MAX_PATH:
        what = f"takes {len(folder.encode()):,} bytes; a path takes at most {MAX_PATH:,}" if folder else "is empty"
        raise BadExpression(f"working_dir: with the values of its expressions, it {what}")
    command = _command(run, values, left)
    new = run.model_copy(update={"env": env, "working_dir": folder, "command": command})
    argv = new.argv() if isinstance(command, list) else []
    if argv and not argv[0]:
        raise BadExpression("command.0: names no program: the values of its expressions are empty")
    if argv and (longest := max(len(one.encode()) for one in argv)) > MAX_ARGUMENT:
        raise BadExpression(
            f"command: an argument takes {longest:,} bytes with the values of its expressions; "
            f"a process takes at most {MAX_ARGUMENT:,} in one"
        )
    if (size := taken + argument_bytes(argv) + environment_bytes(env)) > MAX_PROCESS:
        raise BadExpression(
            f"its variables and arguments take {size:,} bytes with the values of their expressions; "
            f"a process takes at most {MAX_PROCESS:,}"
        )
    return new


def outputs_of(run: RunSpec) -> set[str]:
    """The steps whose outputs the expressions of a command refer to."""
    texts = [text for _, text in _templates(run) if OPEN in text]
    return {one.step for text in texts for one in parse(text).references if one.kind == "output"}


def value_of(reference: Reference, values: Values) -> str:
    """The value of one expression as text. Raises BadExpression if there is none."""
    match reference.kind:
        case "job":
            return values.job_id
        case "step":
            return str(values.attempt)
        case "param":
            return _named("the job has no parameter", reference.name, values.params)
        case "matrix":
            # Keys that only `include` adds to other combinations are empty; the pipeline's checks know all keys.
            return as_text(values.matrix.get(reference.name, ""))
        case "output":
            return _output(reference, values)
        case _:
            assert_never(reference.kind)


# ---------------------------------------------------------------------- reading


def _reference(text: str, position: int) -> Reference:
    if (found := _OUTPUT.fullmatch(text)) is not None:
        return Reference("output", found[2], found[1], text, position)
    if (found := _NAMED.fullmatch(text)) is not None:
        return Reference("param" if found[1] == "params" else "matrix", found[2], "", text, position)
    if text == "job.id":
        return Reference("job", "id", "", text, position)
    if text == "step.attempt":
        return Reference("step", "attempt", "", text, position)
    what = f"{shown(text)!r} is not an expression" if text else "the expression is empty"
    raise BadExpression(f"{what} (character {position + 1}); {_right(text)}")


def _right(text: str) -> str:
    root = text.partition(".")[0]
    forms = [form for form in _FORMS if form.partition(".")[0] == root]
    if root == "steps":
        return "an output is written steps.NAME.outputs.NAME"
    return f"it is written {' or '.join(forms)}" if forms else f"valid are {', '.join(_FORMS)}"


def _templates(step: Step) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The texts of a step that may have expressions, with their paths within it."""
    for name, value in step.env.items():
        yield ("env", name), value
    if step.working_dir is not None:
        yield ("working_dir",), step.working_dir
    if isinstance(step.command, list) and step.type != "python":
        programs = _programs(step.command)
        for index, word in enumerate(step.command):
            if index not in programs:
                yield ("command", index), word


def _verbatim(step: Step) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """The texts of a step that are a command or source code, with their paths within it."""
    if isinstance(step.command, str):
        return [(("command",), step.command)]
    indices = range(len(step.command)) if step.type == "python" else _programs(step.command)
    return [(("command", index), step.command[index]) for index in indices]


def _programs(command: list[str]) -> list[int]:
    """The indices of the arguments that a shell or an interpreter before them takes for a program: after `sh -c`."""
    found: list[int] = []
    takes: re.Pattern[str] | None = None
    for index, word in enumerate(command):
        before = command[index - 1] if index else ""
        if takes is not None and takes.fullmatch(before):
            found.append(index)
            takes = None
        elif (interpreter := _INTERPRETER.fullmatch(word.rpartition("/")[2])) is not None:
            takes = _AFTER_C if interpreter["c"] else _AFTER_E
        elif not word.startswith(("-", "+")) and not _HAS_VALUE.fullmatch(before):
            takes = None  # a file of its own: what follows are the arguments of that program
    return found


def _unescaped(text: str) -> bool:
    return OPEN in text and any(mark[0] == OPEN for mark in _MARK.finditer(text))


def _not_here(step: Step) -> str:
    if step.type == "python":
        where, becomes, use = "in Python source", "code", 'os.environ["V"]'
    elif step.type == "exec" and isinstance(step.command, str):
        where, becomes, use = "in a command string", "several arguments", "a list of arguments instead"
    elif isinstance(step.command, list):
        where, becomes, use = "in an argument that an interpreter runs", "code", "the variable V"
    else:
        where, becomes, use = "in a command string", "shell syntax", '"$V"'
    return (
        f"an expression is not allowed {where}, where its value would become {becomes}: "
        f"write env: {{V: ${{{{ … }}}}}} and {use}; a literal {OPEN!r} is written {ESCAPED!r}"
    )


def template_faults(text: str, loc: tuple[str | int, ...], scope: Scope) -> Iterator[Fault]:
    """The faults of the expressions of one text."""
    try:
        template = parse(text)
    except BadExpression as error:
        yield Fault(loc, str(error), "bad_expression")
        return
    for reference in template.references:
        match reference.kind:
            case "output":
                fault = (
                    scope.step_fault(reference.step)
                    or scope.output_fault(reference.step, reference.name)
                    or scope.optional_output_fault(reference.step, reference.name)
                )
            case "param":
                fault = scope.param_fault(reference.name) or scope.optional_fault(reference.name)
            case "matrix":
                fault = scope.axis_fault(reference.name)
            case "job" | "step":
                fault = None
            case _:
                assert_never(reference.kind)
        if fault is not None:
            yield Fault(loc, f"${{{{ {reference.text} }}}}: {fault[1]}", fault[0])


# ---------------------------------------------------------------------- values


def _named(missing: str, name: str, given: Mapping[str, Scalar]) -> str:
    if name not in given:
        raise BadExpression(f"{missing} {name!r}{hint(name, given)}")
    return as_text(given[name])


def _output(reference: Reference, values: Values) -> str:
    view = values.view(reference.step)
    if view is None:
        raise BadExpression(f"the job has no step {reference.step!r}")
    value = view.outputs.get(reference.name)
    if value is not None:
        return value
    if view.status == "succeeded":
        raise BadExpression(
            f"step {reference.step!r} succeeded without the output {reference.name!r}"
            f"{hint(reference.name, view.outputs) or '; it has no outputs'}"
        )
    return ""  # it was skipped, or ended before it wrote the output


def _rendered_field(field: str, text: str, values: Values, left: int) -> str:
    try:
        value = render(text, values, most=max(left, len(text)))
    except BadExpression as error:
        raise BadExpression(f"{field}: {error}") from None
    if value is not text:
        if "\0" in value:
            raise BadExpression(f"{field}: {_culprit(text, values)} has a NUL character, which no process can be given")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadExpression(f"{field}: {_culprit(text, values)} is not valid Unicode") from None
    return value


def _culprit(text: str, values: Values) -> str:
    """The expression whose value a process cannot be given."""
    for reference in parse(text).references:
        value = value_of(reference, values)
        if "\0" in value or (not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value)):
            return f"the value of {reference.text}"
    return "the value"


def _command(run: RunSpec, values: Values, left: int) -> str | list[str]:
    if isinstance(run.command, str):
        return _literal(run.command)
    if run.type == "python":
        return [_literal(line) for line in run.command]
    words: list[str] = []
    for index, word in enumerate(run.command):
        words.append(_rendered_field(f"command.{index}", word, values, left))
        left -= len(words[-1]) - len(word)
    return words


def _literal(text: str) -> str:
    """A command string or source code: its escapes are resolved, and expressions, which checks refuse, stay."""
    return _MARK.sub(OPEN, text) if OPEN in text else text
