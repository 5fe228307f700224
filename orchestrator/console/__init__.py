"""The web console: static pages that use the public API, and nothing else.

Here: the page, its files under a path that changes with them, and the policy that says what the page may load. Not
here: what the pages show (`app/`, `pages/` and `parts/`, in JavaScript; README.md tells how to add one).

Every address in the page is relative to its `<base>`, which is this service's root as the browser sees it. So the
console works under any path that a proxy puts before it, and the browser never has to be told that path.
"""

import base64
import gzip
import hashlib
import html
import json
import posixpath
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from schemas.rest.platform import Platform
from shared.errors import NotFound

Describe = Callable[[web.Request], Awaitable[Platform]]

PATH: Final = "/console"
"""All of the console's own routes begin with this."""

_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The files that are served, by the end of their names."""
MODULES: Final = {
    "preact": "preact.js",
    "preact/hooks": "hooks.js",
    "@preact/signals": "signals.js",
    "@preact/signals-core": "signals-core.js",
    "htm": "htm.js",
    "dagre": "dagre.js",
    "ansi_up": "ansi_up.js",
}
"""The vendored modules by the name under which others import them."""
_PAGE: Final = re.compile(r"""\["(/[^"]*)", \(\) => import\("\.\./(pages/[\w.-]+)"\)\]""")
_IMPORTED: Final = re.compile(r"""\bfrom\s*"([^"]+)\"""")
_FOREVER: Final = "public, max-age=31536000, immutable"
_NO_STORE: Final = "no-store"
_SMALLEST_PACKED: Final = 200
"""Files of fewer bytes are sent as they are."""


@dataclass(frozen=True)
class File:
    """A file of the console, as it is sent."""

    content: bytes
    type: str

    @cached_property
    def packed(self) -> bytes:
        """The content, compressed with gzip."""
        return gzip.compress(self.content, 9, mtime=0)


def read_files(folder: Traversable | None = None) -> dict[str, File]:
    """The files that the page loads, by their path in this package."""
    found: dict[str, File] = {}
    waiting = [("", files("orchestrator.console") if folder is None else folder)]
    while waiting:
        prefix, parent = waiting.pop()
        for each in parent.iterdir():
            if each.is_dir():
                waiting.append((f"{prefix}{each.name}/", each))
            elif (kind := _TYPES.get(each.name[each.name.rfind(".") :])) is not None:
                found[prefix + each.name] = File(each.read_bytes(), kind)
    return dict(sorted(found.items()))


def first_modules(files: Mapping[str, File], entry: str = "app/main.js") -> list[str]:
    """The modules that one module imports, and those that they import, and so on, itself included; not those that are
    imported later. The page names them all at once, so that the browser need not find them one after the other."""
    found = [entry]
    for path in found:  # which grows meanwhile
        for name in _IMPORTED.findall(files[path].content.decode()):
            module = f"vendor/{MODULES[name]}" if name in MODULES else posixpath.normpath(f"{path}/../{name}")
            if module in files and module not in found:
                found.append(module)
    return found


def pages_of(files: Mapping[str, File]) -> dict[str, str]:
    """The module of each page, by its path in the router, in which `:id` stands for any part."""
    return dict(_PAGE.findall(files["app/routes.js"].content.decode()))


def _links(static: str, modules: Iterable[str]) -> str:
    return "\n".join(f'<link rel="modulepreload" href="{static}/{path}">' for path in modules)


class Console:
    """The console's routes. `files` are what the page loads, and `page` is the template of the page itself. `describe`
    tells where the services are for the one who sends a request."""

    def __init__(self, files: Mapping[str, File], page: str, describe: Describe) -> None:
        self._files = files
        self._describe = describe
        digest = hashlib.sha256(page.encode())
        for path, file in files.items():
            digest.update(f"\0{path}\0".encode() + file.content)
        self.version = digest.hexdigest()[:12]
        """Changes with every byte of the page and its files."""
        static = f"{PATH[1:]}/static/{self.version}"
        imports = {name: f"./{static}/vendor/{file}" for name, file in MODULES.items()}
        self._import_map = json.dumps({"imports": imports}, separators=(",", ":"))
        first = first_modules(files)
        preloads = _links(static, first)
        self._pages = {
            path: _links(static, [one for one in first_modules(files, module) if one not in first])
            for path, module in pages_of(files).items()
        }
        """The links to the modules of each page, beside those of every page, by its path in the router."""
        filled = (
            page.replace("{static}", static).replace("{importmap}", self._import_map).replace("{preloads}", preloads)
        )
        self._page = filled.replace("{version}", self.version)
        digest_of_map = base64.b64encode(hashlib.sha256(self._import_map.encode()).digest()).decode()
        self._policy = (
            f"default-src 'self'; script-src 'self' 'sha256-{digest_of_map}'; style-src 'self'; "
            "connect-src 'self' {services}; object-src 'none'; base-uri 'self'; form-action 'none'; "
            "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
        )

    @property
    def routes(self) -> list[web.RouteDef]:
        """The routes. They need no token: what they send is the same for everyone."""
        return [
            web.get("/", self.get_index),
            web.get(f"{PATH}/static/{{version}}/{{path:.*}}", self.get_file),
            web.get(PATH, self.get_page),
            web.get(f"{PATH}/{{path:.*}}", self.get_page),
        ]

    async def get_index(self, request: web.Request) -> web.Response:
        """A browser goes to the console. Other clients get what there is, as JSON."""
        if "text/html" in request.headers.get("Accept", ""):
            return web.Response(status=302, headers={"Location": f"{PATH[1:]}/", "Cache-Control": _NO_STORE})
        index = {
            "name": "hodei",
            "console": f"{PATH}/",
            "console_version": self.version,
            "documentation": "/swagger-ui",
            "openapi": "/openapi.json",
            "health": "/health",
        }
        return web.json_response(index, headers={"Cache-Control": _NO_STORE})

    async def get_page(self, request: web.Request) -> web.Response:
        """The page, whatever the path: its router knows which pages there are."""
        path = request.rel_url.raw_path
        body = self._page.replace("{base}", "../" * (path.count("/") - 1) or "./")
        body = body.replace("{page}", self._links_of(path.removeprefix(PATH)))
        platform = await self._describe(request)
        services = {one.name: one.url for one in platform.services if one.url is not None}
        body = body.replace("{access}", platform.access).replace("{lease}", f"{platform.lease_seconds:g}")
        body = body.replace("{services}", html.escape(json.dumps(services)))
        origins = sorted({_origin(url) for url in services.values()})
        return web.Response(
            text=body,
            content_type="text/html",
            headers={
                "Content-Security-Policy": self._policy.replace("{services}", " ".join(origins)),
                "Referrer-Policy": "no-referrer",
                "Cross-Origin-Opener-Policy": "same-origin",
                "Cache-Control": _NO_STORE,
            },
        )

    def _links_of(self, path: str) -> str:
        """The links to the modules of the page at a path below the console; none where the router knows no page."""
        given = path.strip("/").split("/")
        for pattern, links in self._pages.items():
            wanted = pattern.strip("/").split("/")
            if len(wanted) == len(given) and all(
                one[:1] == ":" or one == other for one, other in zip(wanted, given, strict=True)
            ):
                return links
        return ""

    async def get_file(self, request: web.Request) -> web.Response:
        """A file of this version. Raises NotFound for one of another version, so that no page mixes two of them."""
        found = self._files.get(request.match_info["path"])
        if found is None or request.match_info["version"] != self.version:
            raise NotFound("file of the console", request.match_info["path"])
        headers = {"Content-Type": found.type, "Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
        if len(found.content) >= _SMALLEST_PACKED and "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=found.packed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=found.content, headers=headers)


def _origin(url: str) -> str:
    """The origin of an address: a policy with a path would allow that path alone."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def console(describe: Describe) -> Console:
    """The console of this installation."""
    page = files("orchestrator.console").joinpath("index.html").read_text()
    return Console(read_files(), page, describe)
