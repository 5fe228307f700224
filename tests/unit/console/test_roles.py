"""The roles that the console knows for its calls, against the documents of the three services.

A page names the call of each button that changes something, and `app/role.js` has the role of each call.
"""

import re
from collections.abc import Callable, Iterator

import orjson
import pytest

from orchestrator.console import read_files
from schemas.access import Role
from shared.web import DOCUMENT, WebServer
from tests.unit.access.test_routes import BUILT

ROLES = "app/role.js"
KINDS = "pages/settings/kinds.js"
SOURCES = {
    path: file.content.decode()
    for path, file in read_files().items()
    if path.endswith(".js") and path.startswith(("app/", "parts/", "pages/"))
}
METHODS = {"post": "POST", "put": "PUT", "patch": "PATCH", "del": "DELETE"}

_KNOWN = re.compile(r'^  "(\w+ [A-Z]+ /\S+)": "(\w+)",$', re.MULTILINE)
"""An entry of the table of roles: the call, and its role."""
_NAMED = re.compile(r'(?:"|`)((?:orchestrator|scheduler|worker_manager|\$\{kind\.service\}) [A-Z]+ [^"`]+)(?:"|`)')
"""A text that names a call."""
_MADE = re.compile(r'\b(post|put|patch|del)\((?:"(\w+)"|(kind)\.service), (?:["`]([^"`]+)["`]|(path|kind\.path)\b)')
"""A call that changes something: its function, its service, and its path or the name that the path has."""
_PATH = re.compile(r"const path = `([^`]+)`")
_KIND = re.compile(r'service: "(\w+)",\s+path: "([^"]+)"')
_VALUE = re.compile(r"\$\{[^{}]*\}")


def known() -> dict[str, Role]:
    """The console's table: the role of each call."""
    return {call: Role(role) for call, role in _KNOWN.findall(SOURCES[ROLES])}


def documented(service: str) -> dict[str, Role]:
    """The role of each route of a service that is not public, by the service's document."""
    [server] = [one for one in BUILT[service]() if isinstance(one, WebServer)]
    paths = orjson.loads(server.app[DOCUMENT].content)["paths"]
    return {
        f"{service} {method.upper()} {path}": Role(operation["x-hodei-role"])
        for path, operations in paths.items()
        for method, operation in operations.items()
        if operation["security"]
    }


def named() -> Iterator[str]:
    """The calls that pages name for their buttons, as texts of JavaScript."""
    for path, source in SOURCES.items():
        if path != ROLES:
            yield from _NAMED.findall(source)


def made() -> Iterator[str]:
    """The calls that pages make, as texts of JavaScript."""
    for source in SOURCES.values():
        [own] = _PATH.findall(source) or [""]
        for function, service, kind, path, name in _MADE.findall(source):
            whole = path.replace("${path}", own) or {"path": own, "kind.path": "${kind.path}"}[name]
            yield f"{'${kind.service}' if kind else service} {METHODS[function]} {whole}"


def calls(text: str) -> set[str]:
    """The calls of the table that a text of JavaScript stands for: each `${…}` is a part of a path."""
    texts = [
        text.replace("${kind.service}", service).replace("${kind.path}", path)
        for service, path in _KIND.findall(SOURCES[KINDS])
    ]
    forms = [re.compile("[^/]+".join(map(re.escape, _VALUE.split(one)))) for one in texts]
    return {call for call in known() if any(form.fullmatch(call) for form in forms)}


@pytest.mark.parametrize("service", BUILT)
def test_each_call_has_the_role_of_its_route(service: str) -> None:
    expected = documented(service)

    for call, role in known().items():
        if call.startswith(f"{service} "):
            assert expected.get(call) is role, call


def test_the_table_is_read_as_a_whole_and_its_roles_have_their_order() -> None:
    [table] = re.findall(r"const NEEDED = \{\n(.*?)\n\};", SOURCES[ROLES], re.DOTALL)
    [order] = re.findall(r"const ROLES = (\[.*\]);", SOURCES[ROLES])

    assert len(known()) == len(table.splitlines())
    assert orjson.loads(order) == list(Role)


@pytest.mark.parametrize("source", [named, made])
def test_the_table_has_the_calls_that_pages_name_and_make_and_no_others(source: Callable[[], Iterator[str]]) -> None:
    found = {text: calls(text) for text in source()}

    assert [text for text, meant in found.items() if not meant] == []
    assert set().union(*found.values()) == set(known())


def test_no_call_that_changes_something_is_overlooked() -> None:
    written = sum(len(re.findall(r"\b(?:post|put|patch|del)\((?:\"|kind\.service)", text)) for text in SOURCES.values())

    assert len(list(made())) == written
