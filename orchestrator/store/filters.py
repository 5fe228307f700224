"""The filters of jobs as values of the query `list_jobs`."""

from collections.abc import Sequence
from typing import Final

from schemas.ids import id_above, is_id
from schemas.rest.job_filters import JobFilter
from schemas.rest.lists import of_actor, of_name
from schemas.states import JOB, JobStatus

_AS_THEY_ARE: Final = (
    *("pipeline_id", "rerun_of", "schedule_id", "reason", "pipeline_version", "short_id", "concurrency_key"),
    *("created_after", "created_before", "finished_after", "finished_before"),
)
_IDS: Final = ("pipeline_id", "rerun_of", "schedule_id")


def filter_values(given: JobFilter, pipelines: Sequence[str] | None) -> list[dict[str, object]]:
    """The values by their names, all but `unstopped`, `before` and `limit`, of the queries that together find the jobs;
    none if no job can match. `pipelines` are the ids of the pipelines that are meant, if any are."""
    values: dict[str, object] = {name: getattr(given, name) for name in _AS_THEY_ARE}
    if pipelines == [] or not all(values[name] is None or is_id(getattr(given, name)) for name in _IDS):
        return []  # a text that is not an id belongs to no job
    normal = given.priority == "normal"
    ends = [moment for moment in (given.created_before, given.finished_before) if moment is not None]
    values |= {
        **_one_or_several("pipeline", "pipelines", pipelines or ()),
        **of_name(given.name),
        **of_actor("created_by", given.created_by),
        **of_actor("cancelled_by", given.cancelled_by),
        "priority": None if normal else given.priority,
        "normal": True if normal else None,
        "labels": given.labels() or None,
        "parameters": given.parameters() or None,
        "below": id_above(min(ends)) if ends else None,
    }
    return [values | _one_or_several("status", "statuses", group) for group in _groups(given)]


def _groups(given: JobFilter) -> list[list[JobStatus]]:
    """The statuses that each query asks for; an empty list means all of them. The indexes by creator have only jobs
    that have ended (docs/adr/0035); others are found by their status."""
    statuses = list(dict.fromkeys(given.status or ()))
    if given.created_by is None:
        return [statuses]
    wanted = statuses or list(JobStatus)
    open_ = [[status] for status in wanted if not JOB.is_final(status)]
    ended = [status for status in wanted if JOB.is_final(status)]
    return [*open_, ended] if ended else open_


def _one_or_several(one: str, several: str, given: Sequence[str]) -> dict[str, object]:
    """A single value is compared by itself: its rows are in the order of their index."""
    return {one: given[0] if len(given) == 1 else None, several: list(given) if len(given) > 1 else None}
