"""The text of a condition: reads it, checks it, and compiles it with CEL (the Common Expression Language).

All names that a condition uses stand in its text: `params.NAME`, `steps.NAME.status`, `steps.NAME.outputs.NAME`,
`job.id`, `job.name`, `job.priority`. CEL has no loops, but its macros nest and its texts can be long, so a condition is
limited in length, nesting and weight. The weight is an upper bound of the operations that it takes. Pure.
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Final, Protocol, cast

from orchestrator.domain.scope import JOB_FIELDS, hint, shown

MAX_LENGTH: Final = 2_000
MAX_NESTING: Final = 20
MAX_WEIGHT: Final = 20_000

FUNCTIONS: Final = ("size", "contains", "startsWith", "endsWith", "matches", "int", "double", "string", "has")
MACROS: Final = ("all", "exists", "exists_one", "filter", "map")
ROOTS: Final = ("params", "steps", "job")
_AS_WHEN: Final = {
    "always": "; write the field when: always",
    "failure": "; write the field when: on_failure",
    "success": "; leave it out, or write the field when: on_success",
}
"""Functions that conditions have in GitHub Actions, and what stands for them here."""


@dataclass(frozen=True, slots=True)
class Use:
    """One value that a condition names: `path` is ("params", NAME), ("steps", NAME, "status"), ("steps", NAME,
    "outputs", NAME) or ("job", FIELD)."""

    path: tuple[str, ...]
    position: int


class Program(Protocol):
    """A compiled condition of the CEL package."""

    def execute(self, context: Mapping[str, object]) -> object: ...
    def variables(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was read: what it names, and its weight."""

    uses: tuple[Use, ...]
    weight: int
    program: Program


class BadCondition(ValueError):
    """A condition cannot be read. `type` is the type of the fault."""

    def __init__(self, message: str, type: str = "bad_condition") -> None:
        super().__init__(message)
        self.type = type


@lru_cache(maxsize=256)
def read(text: str) -> Condition:
    """Read and compile a condition. Raises BadCondition, which names the position."""
    if len(text) > MAX_LENGTH:
        raise BadCondition(f"has {len(text):,} characters; a condition has at most {MAX_LENGTH:,}", "too_long")
    if not text.strip():
        raise BadCondition("the condition is empty")
    tokens = _tokens(text)
    _check_nesting(text, tokens)
    program = _compiled(text)  # before the names, because a fault of the syntax explains the others
    uses, bound = _uses(text, tokens)
    if stray := set(program.variables()) - {*ROOTS, *bound}:
        raise BadCondition(f"{sorted(stray)[0]!r} is not known; a condition knows {', '.join(ROOTS)}", "unknown_name")
    weight = _weight(text, tokens, loops=bool(bound))
    if weight > MAX_WEIGHT:
        raise BadCondition(
            f"would take too long: its weight is {weight:,}, at most {MAX_WEIGHT:,} is allowed; "
            "shorten its lists, its sums of texts or its regular expressions",
            "too_long",
        )
    return Condition(tuple(uses), weight, program)


# ---------------------------------------------------------------------- names

_TOKEN: Final = re.compile(
    r"(?P<blank>\s+|//[^\n]*)"
    r"|(?P<text>(?P<prefix>[rRbB]{0,2})(?P<quoted>\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}"
    r"|\"(?:\\.|[^\\\"\n])*\"|'(?:\\.|[^\\'\n])*'))"
    r"|(?P<number>(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)[uU]?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign>&&|\|\||[=!<>]=|[\[\](){}.,?:+\-*/%!<>])",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int

    @property
    def literal(self) -> str | None:
        """The content of a text in plain quotes without escapes."""
        if self.kind != "text" or "\\" in self.text or self.text[0] not in "\"'" or self.text[:3] in ('"""', "'''"):
            return None
        return self.text[1:-1]


_END: Final = _Token("end", "", -1)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            why = f"{text[position]!r} is not expected here"
            if text.startswith("${{", position):
                why = "a condition stands without '${{' and '}}'"
            raise BadCondition(f"{at(text, position)}: {why}")
        kind = found.lastgroup if found["text"] is None else "text"
        if kind not in ("blank", None):
            tokens.append(_Token(kind, found[0], position))
        position = found.end()
    return tokens


def _check_nesting(text: str, tokens: list[_Token]) -> None:
    depth = choices = 0
    for token in tokens:
        if token.kind != "sign":
            continue
        depth += (token.text in "([{") - (token.text in ")]}")
        choices += token.text == "?"
        if max(depth, choices) > MAX_NESTING:
            raise BadCondition(f"{at(text, token.position)}: is nested deeper than {MAX_NESTING} levels", "too_deep")


def _uses(text: str, tokens: list[_Token]) -> tuple[list[Use], set[str]]:
    """The values that a condition names, and the variables of its macro."""
    uses: list[Use] = []
    bound = _bound(text, tokens)
    for index, token in enumerate(tokens):
        if token.kind != "name" or token.text in ("true", "false", "null", "in"):
            continue
        after = _token(tokens, index + 1)
        member = index > 0 and tokens[index - 1].text == "."
        if after.text == "(":
            known = (*FUNCTIONS, *MACROS)
            if token.text not in known:
                where = f"{at(text, token.position)}: {token.text!r}"
                right = _AS_WHEN.get(token.text) or hint(token.text, known)
                raise BadCondition(f"{where} is not a known function{right}", "unknown_function")
        elif not member and token.text in ROOTS:
            uses.append(_use(text, tokens, index))
        elif not member and token.text not in bound:
            where = f"{at(text, token.position)}: {token.text!r} is not known"
            raise BadCondition(f"{where}{hint(token.text, ROOTS)}{_dashed(tokens, index)}", "unknown_name")
        elif after.text == "{":
            raise BadCondition(f"{at(text, after.position)}: '{{' is not expected here")
    return uses, bound


def _bound(text: str, tokens: list[_Token]) -> set[str]:
    """The variable of the macro, if there is one."""
    bound: set[str] = set()
    for index, token in enumerate(tokens):
        if token.text in MACROS and _token(tokens, index + 1).text == "(":
            if _token(tokens, index - 1).text != ".":
                raise BadCondition(f"{at(text, token.position)}: {token.text} is written LIST.{token.text}(x, …)")
            if bound:
                raise BadCondition(
                    f"{at(text, token.position)}: a condition takes one of {', '.join(MACROS)}, once", "too_deep"
                )
            variable = _token(tokens, index + 2)
            if variable.text in ROOTS:
                raise BadCondition(f"{at(text, variable.position)}: {variable.text!r} cannot name a macro's variable")
            bound.add(variable.text)
    return bound


def _use(text: str, tokens: list[_Token], index: int) -> Use:
    """The value that begins with the name at `index`."""
    root = tokens[index].text
    forms = {"params": "params.NAME", "job": "job.id", "steps": "steps.NAME.status or steps.NAME.outputs.NAME"}
    path = [root]
    lengths = {"params": 2, "job": 2, "steps": 3}
    wanted, position = lengths[root], index + 1
    while len(path) < wanted:
        name, following = _member(tokens, position)
        if name is None:
            where = at(text, tokens[index].position)
            raise BadCondition(
                f"{where}: {_so_far(path)} must be followed by a name: {forms[root]}{_dashed(tokens, position - 1)}",
                "unknown_name",
            )
        path.append(name)
        position = following
        if root == "steps" and len(path) == 3 and name == "outputs":
            wanted = 4
    valid = JOB_FIELDS if root == "job" else ("status", "outputs") if root == "steps" else None
    if valid is not None and path[-1 if root == "job" else 2] not in valid:
        wrong = path[-1 if root == "job" else 2]
        where = at(text, tokens[index].position)
        raise BadCondition(
            f"{where}: {_so_far(path[:-1])} has no {wrong!r}{hint(wrong, valid)}{_dashed(tokens, index + 2)}",
            "unknown_name",
        )
    return Use(tuple(path), tokens[index].position)


def _member(tokens: list[_Token], index: int) -> tuple[str | None, int]:
    """The name in `.NAME` or `["NAME"]` at `index`, and the index behind it."""
    sign, name = _token(tokens, index), _token(tokens, index + 1)
    if sign.text == "." and name.kind == "name" and _token(tokens, index + 2).text != "(":
        return name.text, index + 2
    if sign.text == "[" and name.literal is not None and _token(tokens, index + 2).text == "]":
        return name.literal, index + 3
    return None, index


def _so_far(path: list[str]) -> str:
    return path[0] + "".join(f".{one}" if one.isidentifier() else f'["{shown(one)}"]' for one in path[1:])


def _dashed(tokens: list[_Token], index: int) -> str:
    """A hint for `steps.build-all`, which CEL reads as a difference."""
    near = (_token(tokens, index - 1).text, _token(tokens, index + 1).text)
    return '; a name with "-" or "." is written steps["NAME"]' if "-" in near else ""


def _token(tokens: list[_Token], index: int) -> _Token:
    return tokens[index] if 0 <= index < len(tokens) else _END


# ---------------------------------------------------------------------- cost

_CLASS: Final = 100
"""About the states of a regular expression for a class such as `\\w`, which holds the letters of all scripts."""
_REGEX: Final = 10
"""How much longer one state takes for a character than one token does."""


def _weight(text: str, tokens: list[_Token], *, loops: bool) -> int:
    """An upper bound of the operations. Each `+` may copy all the texts before it. A macro repeats what is in it for
    each element of its list, and the list has no more elements than the condition has commas."""
    sums = sum(token.text == "+" for token in tokens)
    states = sum(_pattern_states(text, tokens, index) for index, one in enumerate(tokens) if one.text == "matches")
    rounds = 1 + sum(token.text == "," for token in tokens) if loops else 1
    return (len(tokens) + 2 * sums * sums + _REGEX * states) * rounds


def _pattern_states(text: str, tokens: list[_Token], index: int) -> int:
    pattern = _token(tokens, index + 2)
    if pattern.kind != "text" or _token(tokens, index + 3).text != ")":
        raise BadCondition(f"{at(text, tokens[index].position)}: matches takes a regular expression in quotes")
    try:
        _program(f'"".matches({pattern.text})').execute({})
    except Exception as error:  # noqa: BLE001 - CEL raises RuntimeError for a bad pattern, with the cause in words
        raise BadCondition(f"{at(text, pattern.position)}: {cause_of(error)}") from None
    return _states(pattern.text)


def _states(pattern: str) -> int:
    """About the states of a regular expression, counted too high rather than too low: a repetition `{n}` multiplies
    what it repeats."""
    sizes, last = [0], 0
    position = 0
    while position < len(pattern):
        letter = pattern[position]
        position += 1
        if letter == "(":
            sizes.append(0)
            continue
        if letter == ")" and len(sizes) > 1:
            last = sizes.pop()
        elif letter == "{" and (times := re.match(r"(\d+)(?:,(\d*))?\}", pattern[position:])) is not None:
            most = int((times[2] or times[1])[:6]) if times[2] or times[1] else 1
            sizes[-1] += last * max(most, int(times[1][:6]))
            position += times.end()
            continue
        elif letter == "\\":
            position += 1
            last = _CLASS if pattern[position - 1 : position].isalpha() else 1
        else:
            last = _ANY if letter in ".[^" else 1
        sizes[-1] += last
    return sum(sizes)


_ANY: Final = 10


# ---------------------------------------------------------------------- CEL


_EXTENSION: Final = "cel.cel"


@cache
def _engine() -> Callable[[str], Program]:
    """CEL's `compile`. The package imports a command line of its own (23 MiB, a quarter of a second), so its extension
    module is loaded without it, and only when the first condition is read."""
    if (module := sys.modules.get(_EXTENSION)) is None:
        package = PathFinder.find_spec("cel")
        spec = PathFinder.find_spec(_EXTENSION, package.submodule_search_locations if package else None)
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError("the package common-expression-language is not installed")
        # It can be initialized only once in a process, so it is registered for those who import the package as well.
        module = sys.modules[_EXTENSION] = module_from_spec(spec)
        spec.loader.exec_module(module)
    return cast(Callable[[str], Program], module.compile)


def _program(text: str) -> Program:
    return _engine()(text)


def _compiled(text: str) -> Program:
    try:
        return _program(text)
    except UnicodeEncodeError as error:
        raise BadCondition(f"{at(text, error.start)}: is not valid Unicode") from None
    except ValueError as error:
        raise BadCondition(_syntax(text, str(error))) from None


_SYNTAX: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)")


def _syntax(text: str, message: str) -> str:
    """The first fault of the syntax, without the condition, which CEL repeats."""
    found = _SYNTAX.search(message[len(text) :])
    if found is None:
        return "cannot be read as a condition"
    what = shown(found[3].partition(" expecting ")[0].replace("'<EOF>'", "the end"), 200)
    return f"{_place(int(found[1]), int(found[2]))}: {what}"


def cause_of(error: Exception) -> str:
    text = str(error).partition(" CEL does not coerce")[0].partition(" Check ")[0].partition(" Convert ")[0]
    return shown(" ".join(text.split()), 300).rstrip(".")


def at(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    return _place(line, position - (text.rfind("\n", 0, position) + 1) + 1)


def _place(line: int, column: int) -> str:
    return f"line {line}, character {column}" if line > 1 else f"character {column}"
