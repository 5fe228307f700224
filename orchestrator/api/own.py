"""Which jobs a request may change: a submitter's only those that it submitted."""

from orchestrator.domain.state import JobState
from schemas.access import Role
from shared.access import lacking
from shared.errors import NotYours


def check_own(job: JobState) -> None:
    """Raises NotYours if the caller may change only jobs of its own, and this is another's."""
    principal = lacking(Role.OPERATOR)
    if principal is not None and (job.created_by is None or job.created_by.id != principal.id):
        raise NotYours("this job", principal.role, Role.OPERATOR)
