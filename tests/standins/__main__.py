"""The command line: `run` a command with containers around it, or list the `images`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tests.standins import engine, images, machine
from tests.standins.errors import StandInError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.standins", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("run", "run a command with an engine and the images"), (machine.INSIDE, "used by run")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--images", default="", help="which images, by name: nats,postgres (default: all)")
        command.add_argument("line", nargs=argparse.REMAINDER, metavar="-- COMMAND")
        if name == machine.INSIDE:
            command.add_argument("--folder", type=Path, required=True)
            command.add_argument("--cwd", type=Path, required=True)
    commands.add_parser("images", help="list the images and what stands in for them")
    given = parser.parse_args(arguments)

    signal.signal(signal.SIGTERM, _leave)
    try:
        if given.command == "images":
            for image in images.ALL:
                print(f"{image.reference:45} {image.made_of}")
            return 0
        line = given.line[1:] if given.line[:1] == ["--"] else given.line
        if not line:
            parser.error("name a command after --")
        wanted = images.chosen(given.images)
        if given.command == machine.INSIDE:
            return machine.inside(given.folder, wanted, line, cwd=given.cwd)
        if engine.answers(engine.client_environment()):
            return engine.run_with(wanted, line, engine.client_environment(), ours=False)
        return machine.run(wanted, line)
    except StandInError as error:
        print(f"standins: {error}", file=sys.stderr)
        return 1


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
