"""The references in `Location` and `Link` of a service that a proxy serves below a path.

Handlers write them as absolute paths, which are right where the service is at the root of its address. Below a path
they would lead out of the service. There they are made relative to the URL of the request (RFC 3986, section 4.2), and
hold both through the proxy, whatever path it removes, and for clients that reach the service directly.
"""

import re
from posixpath import basename, dirname, relpath
from typing import Final

from aiohttp import web

_OWN: Final = re.compile(r"/(?!/)")
"""The beginning of an absolute path; `//` begins another host."""
_TARGET: Final = re.compile(r"<(/(?!/)[^>]*)>")


def relative(target: str, path: str) -> str:
    """The reference from the absolute `path` of a request to `target`, an absolute path that may have a query.

    relative("/api/v1/jobs/1", "/api/v1/jobs") == "jobs/1"
    relative("/api/v1/jobs?cursor=x", "/api/v1/jobs") == "?cursor=x"
    """
    to, mark, query = target.partition("?")
    if to == path and mark:
        return f"?{query}"
    folder = relpath(dirname(to), dirname(path))
    return f"{folder}/{basename(to)}{mark}{query}".removeprefix("./")


async def make_relative(request: web.Request, response: web.StreamResponse) -> None:
    """Rewrite the headers of a response that is about to be sent: a signal of the application."""
    path = request.rel_url.raw_path
    location, link = response.headers.get("Location"), response.headers.get("Link")
    if location is not None and _OWN.match(location):
        response.headers["Location"] = relative(location, path)
    if link is not None:
        response.headers["Link"] = _TARGET.sub(lambda found: f"<{relative(found[1], path)}>", link)
