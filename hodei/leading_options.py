"""The options before the command: `hodei --profile prod jobs`."""

from typing import Annotated

import typer

from hodei import __version__, usage
from hodei.asking import CHOSEN, Chosen


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hodei {__version__}")
        raise typer.Exit


def leading_options(
    version: Annotated[  # noqa: ARG001  # its callback has acted on it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            parser=usage.given,
            metavar="NAME",
            help="The platform to use, as `hodei login` named it; by default HODEI_PROFILE, or the last one.",
        ),
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option(
            parser=usage.given,
            metavar="FILE",
            help="A PEM file with the CA of the platform's certificates; by default HODEI_CA.",
        ),
    ] = None,
) -> None:
    """Keep them for the command."""
    CHOSEN.set(Chosen(profile=profile, ca=ca))
