"""Prints tables that fit a terminal, and makes cells that have a shorter form for a narrow one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from schemas.ids import is_id
from schemas.model import on_one_line

SHORTEST: Final = 8
"""The smallest width of a shortened column, in cells."""
COMFORTABLE: Final = 16
"""The width of the shortened column, if its texts need it, before a less important column is shown."""
BRIEFEST: Final = 20
"""The width to which `cut_cell` cuts a text in a narrow terminal."""

MOMENT: Final = "%Y-%m-%d %H:%M:%S"
"""A whole time, in the local time zone."""


@dataclass(frozen=True)
class Cell:
    """A text with a shorter form, which is shown in a terminal that is too narrow for the whole table."""

    whole: str
    brief: str


Columns = Mapping[str, Sequence[str | Text | Cell]]
"""A table by column title. A `str` is a text of the platform, whose control characters are escaped; `Text` is the
program's own."""


def print_columns(table: Columns, *, shorten: str, drop: Sequence[str], comfortable: int = COMFORTABLE) -> None:
    """Print a table that fits the terminal. If it is too narrow for the whole table, cells are brief: of an id, for
    example, they show the last 8 characters. Then columns of `drop` are left out, first to last, until the rest fits
    with a width of `comfortable` for the column `shorten`, which is cut to the space that is left. A last line names
    the columns that were left out. The terminal breaks the lines of a table that is still too wide. In a pipe all
    columns and cells are complete."""
    columns = {title: [_text(value) for value in values] for title, values in table.items()}
    terminal = Console()
    left_out: list[str] = []
    if terminal.is_terminal:

        def fits() -> bool:
            needed = min(_widest(shorten, columns[shorten]), max(len(shorten), comfortable))
            return _width({**columns, shorten: []}) - len(shorten) + needed <= terminal.width

        if _width(columns) > terminal.width:
            columns = {title: [_text(value, brief=True) for value in values] for title, values in table.items()}
        for title in drop:
            if fits():
                break
            if columns.pop(title, None) is not None:
                left_out.append(title)
        room = max(SHORTEST, terminal.width - _width({**columns, shorten: []}) + len(shorten))
        columns[shorten] = [shortened(text, room) for text in columns[shorten]]
    widths = {title: _widest(title, texts) for title, texts in columns.items()}
    for row in [[Text(title) for title in columns], *zip(*columns.values(), strict=True)]:
        line = Text("  ").join(_padded(text, width) for text, width in zip(row, widths.values(), strict=True))
        line.rstrip()
        terminal.print(line, soft_wrap=True)
    if left_out and table[shorten]:
        terminal.print(Text(f"no room for {', '.join(left_out)}", style="dim"), soft_wrap=True)


def id_cell(id: str | None) -> Cell:
    """An id, which a narrow terminal shows as its last 8 characters; empty for None. A text that is not an id, such as
    a name in its place, is shown as it is."""
    return Cell(id or "", id[-8:] if id and is_id(id) else id or "")


def moment_cell(moment: datetime | None) -> Cell:
    """A time as `moment_or_nothing` has it; in a narrow terminal a time of today without the day, one of
    this year without the year and the seconds, and of another year the day."""
    if moment is None:
        return Cell("", "")
    local, now = moment.astimezone(), datetime.now().astimezone()
    form = "%Y-%m-%d" if local.year != now.year else "%H:%M:%S" if local.date() == now.date() else "%m-%d %H:%M"
    return Cell(local.strftime(MOMENT), local.strftime(form))


def cut_cell(text: str) -> Cell:
    """A text that a narrow terminal cuts."""
    return Cell(text, text if len(text) <= BRIEFEST else f"{text[: BRIEFEST - 1]}…")


def _text(value: str | Text | Cell, *, brief: bool = False) -> Text:
    if isinstance(value, Cell):
        value = value.brief if brief else value.whole
    return value if isinstance(value, Text) else Text(on_one_line(value))


def _width(columns: Mapping[str, Sequence[Text]]) -> int:
    """The width of a table with these columns, in cells, with two between columns."""
    return sum(_widest(title, texts) for title, texts in columns.items()) + 2 * (len(columns) - 1)


def _widest(title: str, texts: Sequence[Text]) -> int:
    return max([len(title), *(text.cell_len for text in texts)])


def shortened(text: Text, width: int) -> Text:
    """A copy of a text that is at most so many cells wide."""
    short = text.copy()
    short.truncate(width, overflow="ellipsis")
    return short


def _padded(text: Text, width: int) -> Text:
    return text.copy() + Text(" " * (width - text.cell_len))
