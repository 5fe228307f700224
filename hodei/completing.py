"""`hodei completion`: the completion of commands, options and ids in bash, zsh and fish.

Ids are asked from the platform, within a second; without an answer there are none, and no message. Offered are short
ids, as complete ones of the same minute begin alike.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.markup import escape
from typer.completion import (  # type: ignore[attr-defined]  # typer does not list them as its own
    completion_init,
    get_completion_script,
)

from hodei.client import Client, ClientError
from schemas.model import on_one_line

VARIABLE: Final = "_HODEI_COMPLETE"
"""With this in its environment, the program completes a command line in place of running it."""
WITHIN: Final = 1.0
"""Seconds for the platform's answer."""
_ONE_WORD: Final = re.compile(r"[\w.@%+,/-]+")
"""A name that every shell takes as one word: bash would offer the parts of another, and insert one of them."""
OFFERED: Final = 50
Offer = tuple[str, str]
"""What completes a word, and a few words about it, which zsh and fish show."""
Find = Callable[[Client], AsyncIterator[Offer]]
Complete = Callable[[typer.Context, str], list[Offer]]
"""typer calls it with a context, and the beginning of the word."""


class Shell(StrEnum):
    """A shell whose command line can be completed."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="The shell that is to complete command lines.")]) -> None:
    """Print a script that completes command lines of hodei, with the ids of jobs, pipelines and workers."""
    print(get_completion_script(prog_name="hodei", complete_var=VARIABLE, shell=shell.value))


def prepare() -> None:
    """Before the command line runs: know the shells if one of them asks for completions."""
    if VARIABLE in os.environ:
        completion_init()


def _completes(find: Find) -> Complete:
    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        leading = ctx.find_root().params
        # A completion has no place for messages, whatever is wrong with the set-up or the platform.
        with suppress(ClientError, TimeoutError, OSError, ValueError):
            return asyncio.run(_offers(find, incomplete, profile=leading.get("profile"), ca=leading.get("ca")))
        return []

    return complete


async def _offers(find: Find, incomplete: str, *, profile: str | None, ca: str | None) -> list[Offer]:
    found: list[Offer] = []
    with suppress(TimeoutError):  # what came in time is offered
        async with (
            asyncio.timeout(WITHIN),
            Client(profile=profile, ca=ca, timeout=WITHIN, attempts=1) as client,
        ):
            async for word, about in find(client):
                if word.startswith(incomplete) and len(found) < OFFERED:
                    found.append((word, escape(on_one_line(about))))  # typer reads markup in it
    return found


async def _jobs(client: Client) -> AsyncIterator[Offer]:
    async for one in client.jobs(limit=200):
        yield one.id[-8:], f"{one.status.value} {one.name}"


async def _pipelines(client: Client) -> AsyncIterator[Offer]:
    async for one in client.pipelines(limit=200):
        if _ONE_WORD.fullmatch(one.name):
            yield one.name, one.description or one.id[-8:]
        yield one.id[-8:], one.name


async def _schedules(client: Client) -> AsyncIterator[Offer]:
    async for one in client.schedules(limit=200):
        yield one.id[-8:], f"{one.status.value} {one.name or ''}"


async def _workers(client: Client) -> AsyncIterator[Offer]:
    async for one in client.registered_workers(limit=200):
        yield one.id[-8:], f"{one.status.value} {one.name}"


async def _approvals(client: Client) -> AsyncIterator[Offer]:
    async for one in client.approvals(limit=200):
        yield one.id[-8:], f"{one.name} of {one.job_name}"


job_ids: Final = _completes(_jobs)
pipeline_ids: Final = _completes(_pipelines)
schedule_ids: Final = _completes(_schedules)
worker_ids: Final = _completes(_workers)
approval_ids: Final = _completes(_approvals)
