"""`hodei doctor | version`: whether a set-up is sound, and which versions it has."""

import asyncio
from textwrap import wrap
from typing import Annotated, Final

import typer
from pydantic import BaseModel, Field
from rich.console import Console
from rich.text import Text

from hodei import __version__
from hodei.asking import with_client
from hodei.client import Client, ClientError
from hodei.diagnosis import SERVICES, examine
from hodei.options import AsJson
from schemas.model import on_one_line

DEADLINE: Final = 5.0
"""Seconds for one answer of a service."""
INDENT: Final = " " * 9
STYLES: Final = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


class Versions(BaseModel):
    """The versions of this program and of the services; null for one that does not answer."""

    hodei: str = Field(description="This program.")
    orchestrator: str | None = Field(description="The orchestrator.")
    scheduler: str | None = Field(description="The scheduler.")
    worker_manager: str | None = Field(description="The worker manager.")


def doctor(as_json: AsJson = False) -> None:
    """Check a set-up: say what is wrong, and how to mend it.

    Checks that the services answer and agree, the database and NATS, clocks, access and the token, workers, dead
    letters, and the console's address.
    """

    async def ask(client: Client) -> int:
        console = Console(highlight=False)
        found = await examine(client)
        for one in found:
            if as_json:
                print(one.model_dump_json())
                continue
            _print(console, f"{one.check}: {one.detail}", Text(f"{one.state:<9}", style=STYLES[one.state]))
            if one.mend:
                _print(console, one.mend, Text(INDENT))
        return int(any(one.state == "wrong" for one in found))

    raise typer.Exit(with_client(ask, timeout=DEADLINE, attempts=1))


def _print(console: Console, words: str, before: Text) -> None:
    """Print words behind `before`, in a terminal on lines of its width."""
    text = on_one_line(words)
    lines = wrap(text, max(20, console.width - len(INDENT)), break_long_words=False) if console.is_terminal else [text]
    console.print(before + Text(f"\n{INDENT}".join(lines)), soft_wrap=True)


def version(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the versions of this program and of the services."""

    async def ask(client: Client) -> int:
        answers = await asyncio.gather(*(_version(client, service) for service in SERVICES))
        found = dict(zip(SERVICES, answers, strict=True))
        if as_json:
            services = {name.replace("-", "_"): number for name, number in found.items()}
            print(Versions.model_validate({"hodei": __version__, **services}).model_dump_json())
        else:
            for name, number in {"hodei": __version__, **found}.items():
                print(f"{name:<14}  {number or 'does not answer'}")
        return 0

    raise typer.Exit(with_client(ask, timeout=DEADLINE, attempts=1))


async def _version(client: Client, service: str) -> str | None:
    try:
        answer = await client.service(service).answer("/health")
        return client.service(service).read(_Version, answer.body).version
    except ClientError:
        return None


class _Version(BaseModel):
    version: str
