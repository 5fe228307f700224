"""Which jobs a request may change or run again: a submitter's only those that it submitted."""

from orchestrator.domain.state import JobState
from schemas.access import Role
from shared.access import lacking
from shared.errors import NotYours


def check_own(job: JobState) -> None:
    """Raises NotYours if the caller may change only jobs of its own, and this is another's."""
    check_creator(None if job.created_by is None else job.created_by.id)


def check_creator(token_id: str | None) -> None:
    """As `check_own`, for a job that the token with this id submitted."""
    principal = lacking(Role.OPERATOR)
    if principal is not None and token_id != principal.id:
        raise NotYours("this job", principal.role, Role.OPERATOR)
