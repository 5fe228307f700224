"""Moves the streams of a NATS server that had no accounts into the platform's account.

Without accounts a server keeps its streams in an account of its own, `$G`, of which the users of other accounts see
nothing. Here: moving the folder, for a server that does not run. Not for a cluster, whose servers agree among
themselves on the account of each stream.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shared.errors import ConfigError

WITHOUT_ACCOUNTS: Final = "$G"
JETSTREAM: Final = "jetstream"


def adopt_streams(store: Path, account: str) -> Iterator[Path]:
    """Move the streams in `store`, the `store_dir` of the server, unless the account has some already. Yields the new
    folder. Raises ConfigError."""
    before, after = store / JETSTREAM / WITHOUT_ACCOUNTS, store / JETSTREAM / account
    try:
        if before.is_dir() and not after.exists():
            before.rename(after)
            yield after
    except OSError as error:
        raise ConfigError(f"cannot move {before} to {after}: {error.strerror}") from None
