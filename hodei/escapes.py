"""Escapes the platform's texts for a terminal: a name, a label or an error must not move the cursor or change colours.

The output of commands is not escaped; it is shown byte for byte. JSON has escapes of its own.
"""

from schemas.model import on_one_line


def escaped(text: str) -> str:
    """A text of one line or several, with control characters as escapes."""
    return "\n".join([on_one_line(line) for line in text.split("\n")])
