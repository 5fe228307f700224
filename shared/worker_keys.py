"""Where a worker's credentials for the bus are: two files of 0600 in its state folder.

Here: their names, whose they are, and writing them. The worker manager writes them for the workers that it starts; an
agent that enrolled by itself writes its own, and each replaces them when it renews them.
"""

from pathlib import Path
from typing import Final

from shared.keys import Credentials, private_folder, write_private

FOLDER: Final = "keys"
CREDENTIALS: Final = "nats.creds"
RENEWAL: Final = "renewal.creds"


def credentials_in(state: Path) -> Path:
    """The file of the credentials with which the agent works."""
    return state / FOLDER / CREDENTIALS


def renewal_in(state: Path) -> Path:
    """The file of the credentials with which it may only ask for new ones."""
    return state / FOLDER / RENEWAL


def holder_in(state: Path) -> str | None:
    """The id of the worker whose credentials these are; None without any. Raises ConfigError."""
    for file in (credentials_in(state), renewal_in(state)):
        if file.exists():
            return Credentials.read(file).name
    return None


def keep_keys(state: Path, credentials: str, renewal: str) -> None:
    """Write both files, whole or not at all each. Raises ConfigError."""
    private_folder(state / FOLDER)
    write_private(renewal_in(state), renewal)
    write_private(credentials_in(state), credentials)
