"""The id of this instance of the service, which is the same after a restart: it tells which workers are its own.

The id is kept in the data folder, beside the workers' state: a service that starts on the same data folder adopts the
workers that the earlier run left. A data folder belongs to one machine. Two services that share one watch the same
workers, and the database lets only one of them record each end.
"""

import os
from pathlib import Path

from shared.errors import ConfigError
from shared.ids import new_id


def instance_id(folder: Path) -> str:
    """Read the id from `<folder>/instance`, made on the first start. Raises ConfigError when that is impossible."""
    file = folder / "instance"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = folder / f".instance-{os.getpid()}"
        fresh.write_text(new_id())
        try:
            os.link(fresh, file)  # the first process wins, and the file is never seen half written
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return file.read_text().strip()
    except OSError as error:
        raise ConfigError(f"HODEI_DATA_DIR: cannot use {folder}: {error.strerror}") from error
