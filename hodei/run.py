"""`hodei run`: follow one job to its end, and turn how it ended into an exit code."""

import asyncio
import signal
import sys
from typing import Final

from hodei.client import ApiError, Client, ClientError
from hodei.views import Output, failure_in_words
from schemas.rest.jobs import JobDetail
from schemas.states import JobStatus, Reason

# The codes of timeout(1) and of a shell for a command that could not start or was interrupted.
TIMED_OUT: Final = 124
NOT_STARTED: Final = 127
CANCELLED: Final = 130
ASK_AGAIN: Final = 2.0
LONGEST_CANCEL: Final = 60.0
"""Seconds that a cancelled job has to end, while somebody waits for it here."""
LONGEST: Final = 366 * 24 * 3600.0


async def follow_to_the_end(client: Client, job_id: str) -> int:
    """Show a job's output until it is over and return its exit code; Ctrl-C and SIGTERM cancel the job first.

    A second signal leaves at once, and LONGEST_CANCEL seconds leave, too, with the job still being cancelled.
    """
    loop = asyncio.get_running_loop()
    following = asyncio.ensure_future(_follow(client, job_id))
    signals: list[signal.Signals] = []
    cancelling: list[asyncio.Task[bool]] = []

    def interrupt(number: signal.Signals) -> None:
        signals.append(number)
        if len(signals) > 1:
            following.cancel()
            return
        print(f"hodei: cancelling job {job_id}; once more to leave it", file=sys.stderr)
        cancelling.append(asyncio.create_task(_cancel(client, job_id)))
        loop.call_later(LONGEST_CANCEL, following.cancel)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt, number)
    try:
        job = await following
    except asyncio.CancelledError:
        taken = bool(cancelling) and cancelling[0].done() and cancelling[0].result()
        how = "which is still being cancelled" if taken else "which could not be told to stop and may go on"
        print(f"hodei: left job {job_id}, {how}", file=sys.stderr)
        return _after(signals)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        for task in cancelling:
            task.cancel()
    if job.status is not JobStatus.SUCCEEDED:
        print(f"hodei: job {job.id} {job.status.value}: {_why(job)}", file=sys.stderr)
    return _after(signals) if signals and job.status is JobStatus.CANCELLED else exit_code(job)


def _after(signals: list[signal.Signals]) -> int:
    """The exit code after signals, as a shell gives it."""
    return 128 + signals[0] if signals else CANCELLED


def exit_code(job: JobDetail) -> int:
    """The exit code that says how a job of one command ended."""
    if job.status is JobStatus.SUCCEEDED:
        return 0
    if job.status is JobStatus.CANCELLED:
        return CANCELLED
    for task in job.tasks:
        if task.reason in (Reason.TIMEOUT, Reason.QUEUE_TIMEOUT):
            return TIMED_OUT
        if task.reason is Reason.START_FAILED:
            return NOT_STARTED
        if task.exit_code:
            return task.exit_code
    return 1


async def _follow(client: Client, job_id: str) -> JobDetail:
    output = Output()
    async for line in client.follow_logs(job_id):
        output.show(line)
    await client.wait(job_id, timeout=LONGEST)
    return await client.job(job_id)


async def _cancel(client: Client, job_id: str) -> bool:
    """Ask until the platform has heard; whether it has."""
    while True:
        try:
            await client.cancel(job_id)
        except ApiError as error:
            if error.status < 500:  # 409: it ended by itself in the meantime, and that is what will be reported
                return False
            print(f"hodei: {error}", file=sys.stderr)
        except ClientError as error:
            print(f"hodei: {error}", file=sys.stderr)
        else:
            return True
        await asyncio.sleep(ASK_AGAIN)


def _why(job: JobDetail) -> str:
    if job.reason is Reason.JOB_TIMEOUT and job.detail:
        return f"{job.reason.value}: {job.detail}"
    failed = [failure_in_words(task) for task in job.tasks if task.reason is not None]
    return "; ".join(failed) or (job.reason.value if job.reason else job.status.value)
