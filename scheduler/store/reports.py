"""The report of the execution that ended an attempt, as its row keeps it for a day: JSON, packed.

The scheduler publishes it again when another service has missed it (`scheduler.domain.recall`).
"""

from typing import Final

from schemas.events import ExecutionFinished, ExecutionLost
from shared.packing import Packing
from shared.postgres import Record

DICTIONARIES: Final = (
    b',"labels":{"outputs":{"lost_at":"2026-12-31T23:59:59.000000Z"no heartbeat for 15 sthe worker was restarted'
    b'"status":"cancelled","reason":"cancelled","status":"timed_out","reason":"timeout","reason":"signal","exit_code":'
    b'137start_failedworker_stoppedbad_output"reason":"lost","detail":""status":"failed","reason":"exit_code","exit_code"'
    b':1,"log":{"chunks":1,"lines":10,"bytes":100,"truncated":true}{"execution_id":"","task_id":"","job_id":"","attempt"'
    b':1,"worker_id":"","worker_name":"worker-","incarnation":"","status":"succeeded","exit_code":0,"started_at":"2026-'
    b'11-30T10:00:00.","finished_at":"2026-11-30T10:00:00.","log":{"chunks":0,"lines":0,"bytes":0,"truncated":false}}',
)

_PACKING: Final = Packing(DICTIONARIES)


def packed_report(report: ExecutionFinished | ExecutionLost) -> bytes:
    """The report as its attempt's row keeps it."""
    return _PACKING.pack(report.model_dump_json(exclude_none=True), report.task_id, report.job_id)


def unpacked_report(row: Record) -> str | None:
    """The report in a row, as JSON. Rows of attempts that ended under an earlier version have it as it is."""
    if row["packed_report"] is None:
        report: str | None = row["report"]
        return report
    return _PACKING.unpack(row["packed_report"], row["task_id"], row["job_id"]).decode()
