"""`hodei up | demo | worker`: starts a platform, or a worker, on this machine."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter

from hodei import joining, usage
from hodei.interpreter import python, service_path
from schemas.model import Name
from schemas.specs import read_capacity, read_labels


def up(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            parser=usage.folder,
            metavar="FOLDER",
            help="The folder for the platform's data; by default HODEI_DATA_DIR or .hodei.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the services' logs.")] = False,
) -> None:
    """Start NATS, PostgreSQL, the three services and a worker; Ctrl-C stops them."""
    from hodei.up import run

    raise typer.Exit(run(data_dir=data_dir, verbose=verbose))


def demo(
    pipeline: Annotated[
        Path | None,
        typer.Argument(
            parser=usage.file, metavar="PIPELINE", help="A pipeline as JSON; by default the built-in example."
        ),
    ] = None,
) -> None:
    """Start a temporary platform, run a pipeline, show its live logs, stop everything."""
    from hodei.demo import run

    raise typer.Exit(run(pipeline))


def worker(
    nats_url: Annotated[
        str | None,
        typer.Option(
            parser=usage.given,
            metavar="URL",
            help="The NATS server to connect to; by default NATS_URL or nats://127.0.0.1:4222.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The worker's name.")] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", parser=usage.given, metavar="TEXT", help="The worker's type, which steps may require."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="A label of the worker, KEY=VALUE, which steps may require.")
    ] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="How many executions the worker runs at once.")] = None,
    capacity: Annotated[
        str | None,
        typer.Option(
            parser=usage.given,
            metavar="TEXT",
            help="Capacity for steps with resources: cpu_m=4000,memory_mb=8000,gpu=1, or a part of it.",
        ),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            parser=usage.folder,
            metavar="FOLDER",
            help="The folder for the worker's id, its credentials, and reports that it could not send yet.",
        ),
    ] = None,
    join: Annotated[
        str | None,
        typer.Option(
            parser=usage.given,
            metavar="FILE",
            help="The file of a join token, - for standard input, or its text: a new worker enrols with it.",
        ),
    ] = None,
) -> None:
    """Run a worker on this machine; it needs only an outbound connection to NATS."""
    port = os.environ.get("NATS_PORT")
    if nats_url is None and port and "NATS_URL" not in os.environ:
        nats_url = f"nats://127.0.0.1:{port}"  # where `hodei up` starts NATS with this setting
    labels = usage.checked({"": "--label"}, lambda: read_labels(json.dumps(usage.pairs("--label", label or []))))
    if capacity:
        usage.checked({"": "--capacity"}, lambda: read_capacity(capacity))
    if name is not None:
        usage.checked({"": "--name"}, lambda: TypeAdapter(Name).validate_python(name))
    given = {
        "NATS_URL": nats_url,
        "HODEI_WORKER_NAME": name,
        "HODEI_WORKER_TYPE": type_,
        "HODEI_WORKER_LABELS": json.dumps(labels) if labels else None,
        "HODEI_WORKER_SLOTS": str(slots) if slots else None,
        "HODEI_WORKER_CAPACITY": capacity,
        "HODEI_STATE_DIR": str(state_dir.absolute()) if state_dir else None,
        "HODEI_JOIN": joining.token_file(join) if join else None,
    }
    inherited = {key: value for key, value in os.environ.items() if key != "HODEI_TOKEN"}  # a worker needs no token
    environment = {**inherited, **{key: value for key, value in given.items() if value}, **service_path()}
    sys.stdout.flush()
    # The agent replaces this process, so that it gets the signals and its exit code becomes that of `hodei worker`.
    os.execve(sys.executable, [*python(), "-m", "worker_manager.agent"], environment)
