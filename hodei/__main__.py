"""The console script, and `python -m hodei`. An interrupt ends it quietly, even while it loads its modules."""

import sys
from typing import Final

INTERRUPTED: Final = 130
"""128 + SIGINT, as shells use it."""


def main() -> None:
    """Run the command line; never returns normally."""
    try:
        from hodei.cli import main as command_line  # loads most of the program

        command_line()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
