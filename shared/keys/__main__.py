"""`python -m shared.keys make DIR`: makes the keys of a platform, as `hodei up` and the compose files do.

`--place` gives each container of the compose files its own.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from schemas.specs import read_labels
from shared.errors import ConfigError
from shared.keys.folder import make
from shared.keys.joining import Joiners

WRONG: Final = 2
"""The exit code when the folder cannot be made."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the keys, place them, and print each file that was written. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shared.keys", description="Make the keys of a platform.")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="make the keys that a folder lacks; keys that exist are kept")
    making.add_argument("folder", type=Path, metavar="DIR", help="the folder; it is made if it does not exist")
    making.add_argument("--namespace", default="hodei", help="the platform's HODEI_NAMESPACE (default: hodei)")
    making.add_argument("--tls", action="store_true", help="make certificates, too, and renew those that expire soon")
    making.add_argument(
        "--name", action="append", default=[], metavar="NAME",
        help="further names or addresses under which clients call the servers, for their certificates: a,b",
    )  # fmt: skip
    making.add_argument(
        "--place", type=Path, metavar="INTO",
        help="a folder with a folder for each of the platform's processes, by name: each gets its own keys",
    )  # fmt: skip
    making.add_argument(
        "--streams", type=Path, metavar="STORE",
        help="the store_dir of a NATS server that does not run: what it stored without accounts becomes the platform's",
    )  # fmt: skip
    making.add_argument("--worker-type", metavar="TYPE", help="the only type of workers for the join token")
    making.add_argument(
        "--worker-labels", metavar="LABELS",
        help="the labels that workers of the join token may have, as in HODEI_WORKER_LABELS; '' for none",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        names = [name.strip() for given in options.name for name in given.split(",") if name.strip()]
        made = make(
            options.folder,
            namespace=options.namespace,
            tls=options.tls or bool(names),
            names=names,
            store=options.streams,
            joiners=Joiners(options.worker_type, _labels(options.worker_labels)),
        )
        if options.place:
            from shared.keys.placing import place  # with the certificates, which `hodei up` does without

            made += place(options.folder, options.place)
        for path in made:
            sys.stdout.write(f"made {path}\n")
    except ConfigError as error:
        sys.stderr.write(f"the keys cannot be made: {error}\n")
        return WRONG
    return 0


def _labels(text: str | None) -> dict[str, str] | None:
    try:
        return None if text is None else read_labels(text)
    except ValueError as error:
        raise ConfigError(f"--worker-labels: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
