"""The command line's approvals: which of those that wait an id stands for."""

from collections.abc import AsyncIterator
from typing import cast

import pytest
from typer.testing import CliRunner

from hodei.approvals import _task_id
from hodei.cli import app
from hodei.client import ApiError, Client
from hodei.ids import NoSuchId
from schemas.rest.jobs import WaitingApproval
from schemas.rest.problem import Problem

TASK = "019a0000-0000-7000-8000-00000000aaaa"
JOB = "019a0000-0000-7000-8000-00000000bbbb"


class Platform:
    """One approval waits."""

    async def approvals(self, **_filters: object) -> AsyncIterator[WaitingApproval]:
        yield WaitingApproval.model_construct(id=TASK, job_id=JOB, job_name="job", name="ask", message="", inputs={})


async def stands_for(text: str) -> str:
    return await _task_id(cast(Client, Platform()), text)


@pytest.mark.parametrize("text", [TASK, JOB, TASK[-8:], JOB[-8:]])
async def test_the_id_of_the_task_or_of_its_job_is_enough_or_its_last_8_characters(text: str) -> None:
    assert await stands_for(text) == TASK


@pytest.mark.parametrize("text", ["a", "aaaa", "b", TASK[1:]])
async def test_fewer_or_other_characters_decide_nothing(text: str) -> None:
    assert await stands_for(text) == text, "the platform answers that there is no such task"


@pytest.mark.parametrize("text", ["", "0000cccc"])
async def test_what_waits_nowhere_is_refused(text: str) -> None:
    with pytest.raises(NoSuchId):
        await stands_for(text)


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_an_unknown_id_may_have_been_meant_as_that_of_a_job(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    async def none(_client: Client, **_filters: object) -> AsyncIterator[WaitingApproval]:
        for one in ():
            yield one

    async def refuse(_client: Client, id: str, **_fields: object) -> None:
        raise ApiError(Problem(title="Not Found", status=404, detail=f"there is no task {id}", instance="/"))

    monkeypatch.setattr(Client, "approvals", none)
    monkeypatch.setattr(Client, command, refuse)

    ended = CliRunner().invoke(app, [command, "nope"])

    assert (ended.exit_code, ended.stderr) == (1, "hodei: there is no task or job nope\n")
