"""A submitter changes only the jobs that it submitted; an operator changes all."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from orchestrator.api.own import check_own
from orchestrator.domain.state import JobState
from schemas.access import Actor, Role
from shared.access import CALL, Call, Principal
from shared.errors import NotYours

ANA = Actor(id="01a22592-5daa-71c2-9b8b-aa9dd6aa970b", name="ana")
NAMESAKE = Actor(id="01a22592-5daa-71c2-9b8b-aa9dd6aa970c", name="ana")


@pytest.fixture(params=[Role.SUBMITTER, Role.OPERATOR, Role.ADMIN])
def role(request: pytest.FixtureRequest) -> Iterator[Role]:
    """The role of ana, who makes the request."""
    principal = Principal(ANA.id, ANA.name, request.param)
    token = CALL.set(Call(principal, "127.0.0.1", "r", "POST", "/api/v1/jobs/{id}/cancel", "/api/v1/jobs/x/cancel"))
    yield request.param
    CALL.reset(token)


def job(created_by: Actor | None) -> JobState:
    return JobState("job", "name", datetime(2026, 1, 1, tzinfo=UTC), created_by=created_by)


def test_everyone_changes_jobs_of_their_own(role: Role) -> None:
    assert role
    check_own(job(ANA))


@pytest.mark.parametrize("creator", [NAMESAKE, None], ids=["another", "unknown"])
def test_a_submitter_does_not_change_the_jobs_of_others(role: Role, creator: Actor | None) -> None:
    if role is not Role.SUBMITTER:
        check_own(job(creator))
        return
    with pytest.raises(NotYours, match="this job was created by another token: that needs the role operator") as error:
        check_own(job(creator))
    assert error.value.role is Role.OPERATOR


def test_with_access_off_all_jobs_can_be_changed() -> None:
    check_own(job(ANA))
