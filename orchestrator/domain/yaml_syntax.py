"""What is wrong with the syntax of a YAML text, in words that say what would be right.

libyaml speaks of tokens, indicators and contexts; a person who writes a pipeline knows keys, quotes and indentation.
"""

from typing import Final

from ruamel.yaml.error import MarkedYAMLError

_BEGINS_NOTHING: Final = "found character that cannot start any token"
_TABS: Final = "lines are indented with spaces, not with tabs"


def right_syntax(error: MarkedYAMLError, text: str, position: tuple[int, int]) -> str:
    """A sentence about an error of libyaml that stands at `position` (line and column, from 1)."""
    problem, context = str(error.problem or ""), str(error.context or "")
    began = f"on line {error.context_mark.line + 1}" if error.context_mark is not None else "before"
    if problem == _BEGINS_NOTHING:
        character = _character(text, position)
        return _TABS if character == "\t" else f"text that begins with {character} stands in quotes"
    if problem == "found unexpected end of stream" and "quoted" in context:
        return f"the quotes that open {began} are not closed"
    if problem in ("did not find expected ',' or ']'", "did not find expected ',' or '}'"):
        bracket = problem[-2]
        if _character(text, position) == "?":
            return "within brackets, text that has a '?' in it stands in quotes"
        return f"a ',' or '{bracket}' is expected here: the bracket that opens {began} is not closed"
    if problem == "did not find expected key":
        return f"a key, indented as the map that begins {began}, is expected; nothing may follow a closing quote"
    known = _KNOWN.get(problem)
    if known is not None:
        return known.format(began=began)
    return ": ".join(filter(None, [context, problem])) or "is not YAML"


_KNOWN: Final = {
    "mapping values are not allowed in this context": (
        "a ': ' cannot stand here: put text that has one in quotes, and give keys of one map the same indentation"
    ),
    "block sequence entries are not allowed in this context": (
        "a '- ' cannot stand here: begin a list on its own line, and put text that begins with '- ' in quotes"
    ),
    "found unexpected ':'": "within brackets, text that has a ':' in it stands in quotes",
    "could not find expected ':'": "the text that begins {began} lacks a ': ', or is not indented enough",
    "did not find expected '-' indicator": (
        "a '- ' with the indentation of the list that begins {began} is expected, or less indentation"
    ),
    "found a tab character that violates indentation": _TABS,
    "found a tab character where an indentation space is expected": _TABS,
    "found unknown escape character": (
        "a backslash in double quotes begins an escape such as \\n: write \\\\, or use single quotes"
    ),
    "found invalid Unicode character escape code": "this escape is not a character's number in Unicode",
    "did not expect to find hexdecimal number": "this escape needs hexadecimal digits",
    "did not find expected node content": "a value is expected here; put text that begins with a bracket in quotes",
    "did not find expected comment or line break": "the text of a block begins on the line after '|' or '>'",
    "found incompatible YAML document": "the text is read as YAML 1.2: leave the %YAML directive out",
    "did not find expected <document start>": "a document ends before this line: a file has one pipeline",
    "found unknown directive name": "text that begins with % stands in quotes",
    "did not find expected alphabetic or numeric character": (
        "a name of letters and digits follows & and *; put text that begins so in quotes"
    ),
}
"""By what libyaml calls it. `{began}` is the line on which the surrounding value begins."""


def _character(text: str, position: tuple[int, int]) -> str:
    line, column = position
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[line - 1][column - 1 : column] if line <= len(lines) else ""
