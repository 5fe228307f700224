"""Texts of the platform in a terminal: a name, a label or an error must not move the cursor or change colours.

What commands wrote is shown byte for byte, as it would be without the platform, and JSON has escapes of its own.
"""

from schemas.model import on_one_line


def escaped(text: str) -> str:
    """A text of one line or several; what would act in the terminal is shown as an escape."""
    return "\n".join([on_one_line(line) for line in text.split("\n")])
