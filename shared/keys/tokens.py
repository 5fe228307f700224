"""The first tokens of a platform, an administrator's and Prometheus's, and the file of their hashes.

    admin, prometheus    a token each, in one line
    tokens.json          their hashes, for HODEI_BOOTSTRAP_TOKENS

Here: making them once. Not here: the form of a token (`schemas.access`), and taking the file (the orchestrator).
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

from schemas.access import SECRET_BYTES, Role, check_form, hash_of, token_of
from shared.errors import ConfigError
from shared.keys.files import keep_private, private_folder, read_text, write_private

FIRST: Final[Mapping[str, Role]] = {"admin": Role.ADMIN, "prometheus": Role.VIEWER}
"""The tokens by name, with their roles."""
HASHES: Final = "tokens.json"


def make_tokens(folder: Path) -> Iterator[Path]:
    """Make the tokens that are missing, and yield the files that were written. Raises ConfigError for a file that is
    not what it should be."""
    private_folder(folder)
    for name in FIRST:
        if keep_private(folder / name, token_of(secrets.token_bytes(SECRET_BYTES)) + "\n"):
            yield folder / name
    hashes, text = folder / HASHES, json.dumps([_entry(folder / name) for name in FIRST], indent=2) + "\n"
    if keep_private(hashes, text):
        yield hashes
    elif read_text(hashes) != text:
        write_private(hashes, text)
        yield hashes


def _entry(path: Path) -> dict[str, str]:
    token = read_text(path).strip()
    if not check_form(token):
        raise ConfigError(f"{path} does not have the form of a token")
    digest = hash_of(token)
    # The id follows from the token, so that several processes at once agree on it.
    id = UUID(bytes=hash_of(digest.hex())[:16], version=4)
    return {"id": str(id), "name": path.name, "role": FIRST[path.name].value, "sha256": digest.hex()}
