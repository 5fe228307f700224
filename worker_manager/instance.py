"""Who we are, over restarts: the instance whose workers these are.

Kept beside the workers' own state, because that is what makes them ours: a service that starts on the same data
folder takes over the workers that its predecessor left running. A data folder belongs to one machine; two services
that share one watch over the same workers, and the database lets only one of them say how each ended.
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
            os.link(fresh, file)  # whoever is first wins, whole
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return file.read_text().strip()
    except OSError as error:
        raise ConfigError(f"HODEI_DATA_DIR: cannot use {folder}: {error.strerror}") from error
