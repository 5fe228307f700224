"""What of an environment is shown to those who read a job: not the values that look like secrets.

`shown_environment` of the migrations does the same in SQL; a test holds the two against each other.
"""

import re
from collections.abc import Mapping
from typing import Final

HIDDEN: Final = "***"
_NAME: Final = re.compile(
    r"secret|token|passw|passphrase|credential|private|api_?key|access_?key|authorization|(^|_)(auth|pw|pwd|key)(_|$)",
    re.IGNORECASE,
)
_IN_ADDRESS: Final = re.compile(r"(://[^/:@ ]*:)[^/@ ]+@")


def shown(env: Mapping[str, str]) -> dict[str, str]:
    """The environment with `***` for values that go by a secret's name, and for passwords in addresses."""
    return {
        name: HIDDEN if _NAME.search(name) else _IN_ADDRESS.sub(rf"\1{HIDDEN}@", value) for name, value in env.items()
    }
