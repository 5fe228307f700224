"""`hodei run` and `hodei rerun --follow`: submit one job, follow it to its end, and turn its outcome into an exit code.

When this program ends before the job, the job is cancelled, or a line on stderr names it with its last known state.
"""

import asyncio
import re
import signal
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from hodei import patience
from hodei.client import ApiError, Client, ClientError
from hodei.commentary import Commentary
from hodei.embedded.terminal import say
from hodei.interrupts import Interrupts
from hodei.patience import Submission, patiently
from hodei.standard_streams import ClosedOutput
from hodei.views import Output, cancelled_alone, failure_in_words, missed
from schemas.rest.jobs import JobCreate, JobDetail
from schemas.states import JOB, JobStatus, Reason

# The codes of timeout(1), env(1) and shells, for a command that did not exit with a code of its own.
TIMED_OUT: Final = 124
PLATFORM_FAILED: Final = 125
"""hodei itself failed: the platform refused the job or was away for a minute, or the output could not be written."""
NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
CANCELLED: Final = 128 + signal.SIGTERM
"""The job was cancelled, but not by this program: its command was ended, as by SIGTERM."""
ASK_AGAIN: Final = 2.0
LAST_WORDS: Final = 2.0
"""Seconds that the commentary may go on after the job's end."""
LONGEST: Final = 366 * 24 * 3600.0
Send = Callable[[str], Awaitable[JobDetail]]
"""Requests a new job with an Idempotency-Key and returns it."""

_NOT_EXECUTABLE: Final = re.compile(r"^(not permitted to run |.* is not something this system can run)")
"""The detail that an agent reports for a file that exists but cannot be executed (EACCES, ENOEXEC)."""


async def run(
    client: Client, job: JobCreate, *, detach: bool = False, quiet: bool = False, as_json: bool = False
) -> int:
    """Submit a job, show its output until it ends, and return its exit code.

    With `detach`, print the job's id and return. With `as_json`, print the job as JSON in place of its id, or of its
    output when it has ended. If it has several tasks, each line of output begins with the name of its step.

    SIGINT, SIGTERM, SIGHUP and an output that cannot be written first cancel the job. The program leaves it at a second
    signal, half a second later or more, or PATIENCE seconds after the first.
    """

    async def send(key: str) -> JobDetail:
        return await client.submit(job, idempotency_key=key)

    return await _run(client, send, detach=detach, quiet=quiet, as_json=as_json)


async def rerun(client: Client, job_id: str, start: str, *, quiet: bool = False, as_json: bool = False) -> int:
    """Run an earlier job again from `start`, and follow the new job as `run` does."""

    async def send(key: str) -> JobDetail:
        return await client.rerun(job_id, start=start, idempotency_key=key)

    return await _run(client, send, detach=False, quiet=quiet, as_json=as_json)


async def _run(client: Client, send: Send, *, detach: bool, quiet: bool, as_json: bool) -> int:
    with Interrupts(output=not detach) as interrupts:
        submitted = await _submit(client, send, interrupts)
        if submitted is None:
            return _own_code(interrupts)
        if detach and not interrupts.asked.is_set():
            return _detach(submitted, interrupts, as_json=as_json)
        if not quiet:
            say(f"job {submitted.id}")
        named = len(submitted.tasks) > 1
        return await follow_to_the_end(
            client, submitted.id, interrupts, quiet=quiet, output=None if as_json else Output(named=named)
        )


async def follow_to_the_end(
    client: Client, job_id: str, interrupts: Interrupts, *, quiet: bool = False, output: Output | None
) -> int:
    """Show a job's output until it ends and return its exit code. Without `output`, print the job as JSON when it has
    ended. `run` describes the interrupts."""
    following = asyncio.create_task(_follow(client, job_id, interrupts, quiet=quiet, output=output))
    cancelling = asyncio.create_task(_cancel_when_asked(client, job_id, interrupts))
    leaving = asyncio.create_task(_leave(interrupts))
    try:
        await asyncio.wait({following, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if following.done() and following.exception() and interrupts.asked.is_set():
            # A job that cannot be followed can still be cancelled.
            await asyncio.wait({cancelling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not following.done():
            _say_left(job_id, cancelling, interrupts)
            return _own_code(interrupts)
        job = following.result()
        if job.status is not JobStatus.SUCCEEDED:
            say(outcome_in_words(job))
        cancelled_here = interrupts.asked.is_set() and job.status is JobStatus.CANCELLED
        cut_short = interrupts.output_failed and job.status is JobStatus.SUCCEEDED
        return _own_code(interrupts) if cancelled_here or cut_short else exit_code(job)
    except Exception as error:  # noqa: BLE001  # whatever the error, the job goes on without this program
        _report(error)
        _say_left(job_id, cancelling, interrupts)
        return _own_code(interrupts)
    finally:
        for task in (following, cancelling, leaving):
            task.cancel()
        await asyncio.wait({following, cancelling, leaving})


def exit_code(job: JobDetail) -> int:
    """The exit code for the outcome of a job: that of its first command that failed and was not allowed to."""
    if job.status is JobStatus.SUCCEEDED:
        return 0
    if job.status is JobStatus.CANCELLED:
        return CANCELLED
    for task in job.tasks:
        if task.allow_failure or task.reason is Reason.FAIL_FAST:
            continue
        if task.reason in (Reason.TIMEOUT, Reason.QUEUE_TIMEOUT, Reason.JOB_TIMEOUT):
            return TIMED_OUT
        if task.reason is Reason.START_FAILED:
            detail = next((e.detail for e in reversed(task.executions) if e.detail), "")
            return NOT_EXECUTABLE if _NOT_EXECUTABLE.match(detail) else NOT_FOUND
        if task.exit_code:
            return task.exit_code
    return TIMED_OUT if job.reason is Reason.JOB_TIMEOUT else 1  # its clean-up was still running


async def _submit(client: Client, send: Send, interrupts: Interrupts) -> JobDetail | None:
    """The job that was created. On failure prints whether the job may have been accepted, and returns None."""
    submission = Submission(send, stop=interrupts.asked)
    client.on_retry = submission.note
    submitting, telling = asyncio.create_task(submission.answer()), asyncio.create_task(submission.tell())
    asked, insisted = (asyncio.create_task(event.wait()) for event in (interrupts.asked, interrupts.insisted))
    perhaps_received = True
    try:
        await asyncio.wait({submitting, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not submitting.done():
            say(f"the job is not accepted yet: waiting for the response, to cancel it; {interrupts.again} leaves it")
            await asyncio.wait({submitting, insisted}, return_when=asyncio.FIRST_COMPLETED)
        if submitting.done():
            return submitting.result()
    except ClientError as error:
        _report(error)
        perhaps_received = submission.perhaps_received
    except Exception as error:  # noqa: BLE001  # whatever the error, the job may have been accepted
        _report(error)
    finally:
        tasks = {submitting, telling, asked, insisted}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if perhaps_received:
        say(f"the job may have been accepted and may run; its Idempotency-Key is {submission.key}")
    elif interrupts.asked.is_set():
        say("the job was not submitted")
    return None


def _detach(job: JobDetail, interrupts: Interrupts, *, as_json: bool) -> int:
    job_id = job.id
    try:
        print(job.model_dump_json(by_alias=True) if as_json else job_id, flush=True)
    except ClosedOutput as error:
        interrupts.note_closed(error)
        say(f"{error}: stopped following job {job_id}, which goes on; 'hodei logs -f {job_id}' follows it")
        return _own_code(interrupts)
    return 0


async def _follow(
    client: Client, job_id: str, interrupts: Interrupts, *, quiet: bool, output: Output | None
) -> JobDetail:
    commentary = Commentary(client, job_id, say)
    commenting = None if quiet else asyncio.create_task(commentary.run())
    try:
        if output is not None:
            await _show_output(client, job_id, interrupts, output)
        await patiently(lambda: client.wait(job_id, timeout=LONGEST))
        job = await patiently(lambda: client.job(job_id))
        if commenting is not None:
            # Output and timeline are two streams; the timeline of a quick job may end a little later.
            await asyncio.wait({commenting}, timeout=LAST_WORDS)
        if output is None:
            print(job.model_dump_json(by_alias=True), flush=True)
        return job
    finally:
        if commenting is not None:
            commenting.cancel()
            await asyncio.wait({commenting})
            if not commenting.cancelled() and (failed := commenting.exception()):
                say(f"why the job waits, and its retries, could not be shown: {failed!r}")


async def _show_output(client: Client, job_id: str, interrupts: Interrupts, output: Output) -> None:
    async for line in client.follow_logs(job_id):
        try:
            await output.show(line)
        except ClosedOutput as error:
            interrupts.note_closed(error)
            return  # the job is being cancelled; its end is awaited
    with suppress(ClosedOutput):
        await output.close()


async def _leave(interrupts: Interrupts) -> None:
    """Return when the program should leave the job: at the second signal, or PATIENCE seconds after the first."""
    await interrupts.asked.wait()
    with suppress(TimeoutError):
        async with asyncio.timeout(patience.PATIENCE):
            await interrupts.insisted.wait()


async def _cancel_when_asked(client: Client, job_id: str, interrupts: Interrupts) -> bool:
    """At the first signal, request the cancellation until the platform accepts it. Returns False if the job has
    ended.

    The request is the one for many jobs, as that can be repeated when its response is lost: it leaves a job that is
    being stopped already, where a second request for the job alone would end its clean-up."""
    await interrupts.asked.wait()
    say(f"{interrupts.why}cancelling job {job_id}; {interrupts.again} leaves it at once")
    told = ""
    while True:
        try:
            if (await client.cancel_jobs([job_id])).done:
                return True
            return not JOB.is_final((await client.job(job_id)).status)  # it was being stopped, or had ended by itself
        except ClientError as error:
            if isinstance(error, ApiError) and error.status == 404:
                return False  # it was deleted
            if str(error) != told:
                told = str(error)
                say(told)
        await asyncio.sleep(ASK_AGAIN)


def _own_code(interrupts: Interrupts) -> int:
    """The exit code when this program ends before the job."""
    return PLATFORM_FAILED if interrupts.first is None else 128 + interrupts.first


def _report(error: Exception) -> None:
    if isinstance(error, ClientError):
        say(str(error))
    else:
        traceback.print_exception(error)


def _say_left(job_id: str, cancelling: asyncio.Task[bool], interrupts: Interrupts) -> None:
    how = "the platform has not confirmed the cancellation; the job may go on"
    if not interrupts.asked.is_set():
        how = f"it may go on; 'hodei logs -f {job_id}' follows it again"
    elif cancelling.done():
        if error := cancelling.exception():
            traceback.print_exception(error)
        else:
            accepted = cancelling.result()
            how = "the platform has accepted the request to cancel it" if accepted else "the job had already ended"
    say(f"stopped following job {job_id}: {how}")


def outcome_in_words(job: JobDetail) -> str:
    """A job that has ended: its status and, if there is more to say, why it did not succeed."""
    words = f"job {job.id} {job.status.value}"
    why = "" if job.status is JobStatus.SUCCEEDED else _why(job)
    return f"{words}: {why}" if why and why != job.status.value else words


def _why(job: JobDetail) -> str:
    if job.reason in (Reason.JOB_TIMEOUT, Reason.SUPERSEDED, Reason.CONCURRENCY_LIMIT) and job.detail:
        return f"{job.reason.value}: {job.detail}"
    cancelled = job.status is JobStatus.CANCELLED
    failed = [
        failure_in_words(task) for task in job.tasks if missed(task) and not (cancelled and cancelled_alone(task))
    ]
    return "; ".join(failed) or (job.reason.value if job.reason else job.status.value)
