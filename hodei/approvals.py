"""`hodei approvals | approve | reject`: steps that wait for a decision."""

import getpass
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final

import typer

from hodei import usage
from hodei.asking import show_list, with_client
from hodei.client import ApiError, Client
from hodei.completing import approval_ids
from hodei.escapes import escaped
from hodei.ids import SHORT, NoSuchId
from hodei.options import AsJson, Limit
from hodei.tables import Columns, id_cell, moment_cell, print_columns
from schemas.ids import is_id
from schemas.rest.jobs import DecidedTask, DecisionRequest, WaitingApproval

NOT_FOUND: Final = 404
MOST: Final = 10_000
"""The most approvals that are searched for an id."""

Which = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        autocompletion=approval_ids,
        help="The task's id, or its job's if that waits for one; or its last 8 characters.",
    ),
]
By = Annotated[str | None, typer.Option(help="Who decides; by default the name of the user of this machine.")]
Comment = Annotated[str | None, typer.Option(help="Why.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


def approvals(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the steps that wait for an approval, newest first. An input with * is required."""

    async def find(client: Client) -> list[WaitingApproval]:
        return [one async for one in client.approvals(limit=limit)]

    show_list(find, _print, as_json=as_json)


def approve(
    id: Which,
    input_: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="KEY=VALUE, an input that the approval declares.")
    ] = None,
    by: By = None,
    comment: Comment = None,
    as_json: Json = False,
) -> None:
    """Approve a step that waits for it."""
    inputs = usage.pairs("--input", input_ or [])
    fields: dict[str, object] = {"by": by, "comment": comment, "inputs": inputs}
    usage.checked(
        {"inputs": "--input", "by": "--by", "comment": "--comment"}, lambda: DecisionRequest.model_validate(fields)
    )

    async def decide(client: Client, task_id: str) -> DecidedTask:
        return await client.approve(task_id, by=by or _user(), comment=comment, inputs=inputs)

    _decide(id, decide, as_json=as_json)


def reject(id: Which, by: By = None, comment: Comment = None, as_json: Json = False) -> None:
    """Reject a step that waits for an approval: it fails."""
    _decide(id, lambda client, task_id: client.reject(task_id, by=by or _user(), comment=comment), as_json=as_json)


def _decide(text: str, decide: Callable[[Client, str], Awaitable[DecidedTask]], *, as_json: bool) -> None:
    async def ask(client: Client) -> int:
        try:
            decided = await decide(client, await _task_id(client, text.strip().lower()))
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            raise NoSuchId(f"there is no task or job {text.strip()}") from error
        if as_json:
            print(decided.model_dump_json())
        else:
            word = "approved" if decided.decision.approved else "rejected"
            print(escaped(f"{word} {decided.name} of job {decided.job_id}"))
        return 0

    raise typer.Exit(with_client(ask))


async def _task_id(client: Client, text: str) -> str:
    """The id of the task that waits, from its id or that of its job, whole or its last characters. Raises NoSuchId."""
    if not text:
        raise NoSuchId("the id of a task or job is needed, or its last 8 characters; this one is empty")
    short = SHORT.fullmatch(text) is not None
    found = [
        one
        async for one in client.approvals(limit=MOST)
        if text in (one.id, one.job_id) or (short and (one.id.endswith(text) or one.job_id.endswith(text)))
    ]
    if len(found) == 1:
        return found[0].id
    if not found:
        if not short:
            if is_id(text) and await _is_job(client, text):
                raise NoSuchId(f"no step of job {text} waits for an approval")
            return text  # the answer says what it is
        raise NoSuchId(f"nothing waits for an approval whose id, or whose job's id, ends with {text}")
    listed = "".join(f"\n  {one.id}  {escaped(one.name)} of job {one.job_id}" for one in found[:10])
    raise NoSuchId(f"several approvals wait; give one of these:{listed}")


async def _is_job(client: Client, text: str) -> bool:
    try:
        await client.job(text)
    except ApiError as error:
        if error.status >= 500:
            raise
        return False
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return "unknown"


def _print(rows: Sequence[WaitingApproval]) -> None:
    columns: Columns = {
        "ID": [id_cell(one.id) for one in rows],
        "JOB": [one.job_name for one in rows],
        "STEP": [one.name for one in rows],
        "SINCE": [moment_cell(one.started_at) for one in rows],
        "INPUTS": [
            ", ".join(f"{name}*" if spec.required else name for name, spec in one.inputs.items()) for one in rows
        ],
        "MESSAGE": [one.message for one in rows],
    }
    print_columns(columns, shorten="MESSAGE", drop=["SINCE", "JOB", "INPUTS"])
