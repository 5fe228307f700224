"""`hodei demo`: starts a platform on free ports, runs one pipeline with its live logs, and removes all of it."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from hodei.client import ApiError, Client, ClientError
from hodei.embedded.terminal import say
from hodei.up import Platform, up
from hodei.up_settings import stand_alone
from hodei.views import print_steps, status_text, task_title
from schemas.model import readable_location
from schemas.rest.jobs import JobCreate, JobDetail
from schemas.rest.pipelines import PipelineCreate
from schemas.states import JobStatus
from schemas.words import what_would_be_right

DEADLINE: Final = 600.0
EXAMPLE: Final = Path(__file__).parent / "example.json"
COLOURS: Final = ("cyan", "magenta", "yellow", "blue", "green")

Line = Callable[[str, Text], None]
"""Prints one line of a step; the first argument is the step's name."""


def run(pipeline: Path | None) -> int:
    """Run the demo. Returns 0 when every step succeeded, 1 when one failed or the platform did not start, and 128 + N
    when signal N stopped it."""
    pipeline = pipeline or EXAMPLE
    try:
        wanted = PipelineCreate.model_validate_json(pipeline.read_bytes())
    except OSError as error:
        say(f"{pipeline}: {error.strerror}")
        return 1
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, readable_location(first["loc"]))) or "the whole"
        say(f"{pipeline}: {where}: {what_would_be_right(first)}")
        return 1
    stand_alone(os.environ)
    with tempfile.TemporaryDirectory(prefix="hodei-demo-") as folder:
        return asyncio.run(_run(wanted, Path(folder)))


async def _run(wanted: PipelineCreate, folder: Path) -> int:
    ready: asyncio.Future[Platform] = asyncio.get_running_loop().create_future()
    signals: list[signal.Signals] = []
    living = asyncio.create_task(up(data_dir=folder, started=ready.set_result, signalled=signals.append))
    living.add_done_callback(lambda _: ready.cancel())
    await asyncio.wait([ready])
    if ready.cancelled():
        return await living or 128 + signals[0]  # on failure it has printed the reason
    shown = asyncio.create_task(_show(wanted, ready.result()))
    living.add_done_callback(lambda _: shown.cancel())
    await asyncio.wait([shown])
    living.cancel()
    await asyncio.wait([living])
    if shown.cancelled():
        return living.result() or 128 + signals[0]
    if error := shown.exception():
        if not isinstance(error, ClientError | TimeoutError):
            raise error
        say(str(error) or f"the job did not end, or its output was not complete, within {DEADLINE:g} s")
        return 1
    return 0 if shown.result().status is JobStatus.SUCCEEDED else 1


async def _show(wanted: PipelineCreate, platform: Platform) -> JobDetail:
    console = Console(highlight=False, soft_wrap=True)
    urls = platform.urls
    async with Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"]) as client:
        console.print(f"The platform is up: {urls['orchestrator']}/console/")
        pipeline = await client.create_pipeline(wanted)
        job = await client.submit(JobCreate(pipeline_id=pipeline.id))
        console.print(f"Pipeline {pipeline.name!r} with {len(pipeline.steps)} steps, job {job.id}\n")
        names = {task.id: task_title(task) for task in job.tasks}
        colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(names.values())}
        width = max((len(name) for name in colours), default=0)

        def line(name: str, text: Text) -> None:
            console.print(Text(f"{name:>{width}} | ", style=colours.get(name, "")) + text)

        try:
            async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
                await _print_steps(client, job.id, names, line, group)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        done = await client.job(job.id)
        console.print()
        print_steps(done)
        console.print(Text("\nThe job has ") + status_text(done.status.value, done.reason))
        return done


async def _print_steps(
    client: Client, job_id: str, names: dict[str, str], line: Line, group: asyncio.TaskGroup
) -> None:
    """Print the start of each step, its output as it arrives, and its end after the last line of output."""
    output: dict[str, asyncio.Task[None]] = {}

    async def end(name: str, word: str, shown: asyncio.Task[None] | None) -> None:
        if shown is not None:
            await shown
        line(name, status_text(word, None))

    async for event in client.follow_events(job_id):
        name = names.get(str(event.data.get("task_id")))
        if name is None:
            continue
        match event.type:
            case "executions.started":
                line(name, Text("started", style="dim"))
                execution_id = str(event.data["execution_id"])
                output[name] = group.create_task(_print_output(client, execution_id, name, line))
            case "tasks.succeeded" | "tasks.failed" | "tasks.skipped" | "tasks.cancelled" | "tasks.retrying":
                group.create_task(end(name, event.type.removeprefix("tasks."), output.get(name)))


async def _print_output(client: Client, execution_id: str, name: str, line: Line) -> None:
    await _recorded(client, execution_id)
    async for entry in client.follow_execution_logs(execution_id):
        if entry.message or not entry.partial:
            line(name, Text(entry.message, style="" if entry.stream == "stdout" else "italic"))


async def _recorded(client: Client, execution_id: str) -> None:
    """Wait until the worker manager knows an execution; it records a batch of them shortly after they start."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                await client.execution(execution_id)
            except ApiError as error:
                if error.status != 404:
                    raise
                await asyncio.sleep(0.05)
            else:
                return
