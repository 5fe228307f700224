"""`hodei run`: submit one job, follow it to its end, and turn how it ended into an exit code.

Whatever ends this program before the job, the job is not lost without a word: it is cancelled, or stderr names it and
tells that it goes on.
"""

import asyncio
import re
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from hodei.client import ApiError, Client, ClientError, Unreachable
from hodei.client.transport import RETRIED_STATUSES
from hodei.commentary import Commentary
from hodei.interrupts import Interrupts
from hodei.standard_streams import ClosedOutput
from hodei.views import Output, failure_in_words
from schemas.rest.jobs import JobCreate, JobDetail
from schemas.states import JobStatus, Reason

# The codes of timeout(1), env(1) and a shell, for what is no exit code of the command.
TIMED_OUT: Final = 124
PLATFORM_FAILED: Final = 125
"""hodei itself failed: the platform refused the job, or could not be reached for a minute."""
NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
CANCELLED: Final = 130
ASK_AGAIN: Final = 2.0
PATIENCE: Final = 60.0
"""Seconds for which a service may be away, and that a cancelled job has to end, before it is left."""
PAUSE: Final = 1.0
LONGEST: Final = 366 * 24 * 3600.0
_NOT_EXECUTABLE: Final = re.compile(r"^(not permitted to run |.* is not something this system can run)")
"""What an agent writes of a file that is there and cannot be executed (EACCES, ENOEXEC)."""

T = TypeVar("T")


async def run(client: Client, job: JobCreate, *, detach: bool = False, quiet: bool = False) -> int:
    """Submit a job, show its output until it is over, and return its exit code.

    With `detach` it prints the job's id and returns. SIGINT, SIGTERM, SIGHUP and a closed standard output cancel the
    job first; a second signal leaves at once, and so do PATIENCE seconds, with the job still being cancelled.
    """
    with Interrupts(output=not detach) as interrupts:
        try:
            submitted = await _submit(client, job, interrupts)
        except ClientError as error:
            _say(str(error))
            return PLATFORM_FAILED
        if submitted is None:
            return interrupts.exit_code
        if detach and not interrupts.asked.is_set():
            print(submitted.id)
            return 0
        if not quiet:
            _say(f"job {submitted.id}")
        return await follow_to_the_end(client, submitted.id, interrupts, quiet=quiet)


async def follow_to_the_end(client: Client, job_id: str, interrupts: Interrupts, *, quiet: bool = False) -> int:
    """Show a job's output until it is over and return its exit code; see `run` for what interrupts it."""
    following = asyncio.create_task(_follow(client, job_id, interrupts, quiet=quiet))
    cancelling = asyncio.create_task(_cancel_when_asked(client, job_id, interrupts))
    leaving = asyncio.create_task(_leave(interrupts))
    try:
        await asyncio.wait({following, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not following.done():
            taken = cancelling.done() and cancelling.result()
            how = "which is still being cancelled" if taken else "which could not be told to stop and may go on"
            _say(f"left job {job_id}, {how}")
            return interrupts.exit_code
        try:
            job = following.result()
        except ClientError as error:
            _say(f"{error}\nhodei: left job {job_id}, which goes on; 'hodei logs -f {job_id}' follows it again")
            return PLATFORM_FAILED
    finally:
        for task in (following, cancelling, leaving):
            task.cancel()
        await asyncio.wait({following, cancelling, leaving})
    if job.status is not JobStatus.SUCCEEDED:
        _say(f"job {job.id} {job.status.value}: {_why(job)}")
    return interrupts.exit_code if interrupts.first and job.status is JobStatus.CANCELLED else exit_code(job)


def exit_code(job: JobDetail) -> int:
    """The exit code that says how a job of one command ended."""
    if job.status is JobStatus.SUCCEEDED:
        return 0
    if job.status is JobStatus.CANCELLED:
        return CANCELLED
    for task in job.tasks:
        if task.reason in (Reason.TIMEOUT, Reason.QUEUE_TIMEOUT, Reason.JOB_TIMEOUT):
            return TIMED_OUT
        if task.reason is Reason.START_FAILED:
            detail = next((e.detail for e in reversed(task.executions) if e.detail), "")
            return NOT_EXECUTABLE if _NOT_EXECUTABLE.match(detail) else NOT_FOUND
        if task.exit_code:
            return task.exit_code
    return 1


async def _submit(client: Client, job: JobCreate, interrupts: Interrupts) -> JobDetail | None:
    """The job that was made; None where it was left before the platform had answered."""
    key = str(uuid.uuid4())
    submitting = asyncio.create_task(client.submit(job, idempotency_key=key))
    asked, insisted = (asyncio.create_task(event.wait()) for event in (interrupts.asked, interrupts.insisted))
    try:
        await asyncio.wait({submitting, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not submitting.done():
            _say("the job is not accepted yet: waiting for the answer, to cancel it; once more to leave")
            await asyncio.wait({submitting, insisted}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if submitting.done():
            return submitting.result()
    except Unreachable as error:
        if error.perhaps_received:
            raise Unreachable(f"{error}; the job may have been accepted all the same") from error
        raise
    finally:
        for task in (submitting, asked, insisted):
            task.cancel()
        await asyncio.wait({submitting, asked, insisted})
    _say(f"left before the answer: the job may have been accepted and may run (its Idempotency-Key is {key})")
    return None


async def _follow(client: Client, job_id: str, interrupts: Interrupts, *, quiet: bool) -> JobDetail:
    output, commentary = Output(), Commentary(client, job_id, _say)
    commenting = None if quiet else asyncio.create_task(commentary.run())
    try:
        async for line in client.follow_logs(job_id):
            try:
                output.show(line)
            except ClosedOutput as error:
                if not error.broken_pipe:
                    _say(str(error))
                interrupts.note(signal.SIGPIPE)
                break  # nobody reads any more; the job is being cancelled
        await _patiently(lambda: client.wait(job_id, timeout=LONGEST))
        return await _patiently(lambda: client.job(job_id))
    finally:
        if commenting is not None:
            commenting.cancel()
            await asyncio.wait({commenting})


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer; the service may be away for PATIENCE seconds. Raises ClientError."""
    clock = asyncio.get_running_loop().time
    away_since = clock()
    while True:
        asked_at = clock()
        try:
            return await ask()
        except ClientError as error:
            passing = isinstance(error, Unreachable) or (
                isinstance(error, ApiError) and error.status in RETRIED_STATUSES
            )
            if clock() - asked_at > PATIENCE:
                away_since = clock()  # it was there for a long time before
            if not passing or clock() - away_since > PATIENCE:
                raise
        await asyncio.sleep(PAUSE)


async def _leave(interrupts: Interrupts) -> None:
    """Return when the job is to be left: at the second signal, or PATIENCE seconds after the first."""
    await interrupts.asked.wait()
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await interrupts.insisted.wait()


async def _cancel_when_asked(client: Client, job_id: str, interrupts: Interrupts) -> bool:
    """At the first signal, ask for the job's end until the platform has heard. Returns whether it has."""
    await interrupts.asked.wait()
    closed = "standard output was closed: " if interrupts.first is signal.SIGPIPE else ""
    _say(f"{closed}cancelling job {job_id}; once more to leave it")
    while True:
        try:
            await client.cancel(job_id)
        except ApiError as error:
            if error.status < 500:  # 409: it ended by itself in the meantime, and that is what will be reported
                return False
            _say(str(error))
        except ClientError as error:
            _say(str(error))
        else:
            return True
        await asyncio.sleep(ASK_AGAIN)


def _say(text: str) -> None:
    """One line to the person, on stderr, if anybody reads that."""
    try:
        print(f"hodei: {text}", file=sys.stderr, flush=True)
    except OSError:  # stderr is closed or full: there is nowhere left to tell it
        return


def _why(job: JobDetail) -> str:
    if job.reason is Reason.JOB_TIMEOUT and job.detail:
        return f"{job.reason.value}: {job.detail}"
    failed = [failure_in_words(task) for task in job.tasks if task.reason is not None]
    return "; ".join(failed) or (job.reason.value if job.reason else job.status.value)
