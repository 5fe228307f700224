"""Reads crontabs: what crontab(5) says of comments, variables, times, commands and `%`.

Pure: text in, lines out. Every fault of a text is found, each with the number of its line.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from schemas.model import on_one_line
from schemas.recurrence import check_zone, cron_fields
from schemas.words import VARIABLE

MAX_TEXT: Final = 1 << 20
"""The most bytes of a crontab."""
MAX_LINES: Final = 2000
"""The most lines with a command."""
UNUSED: Final = frozenset({"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING", "LOGNAME"})
"""Variables that are for cron itself, which schedules have no use for."""

_VARIABLE: Final = re.compile(r"""(?P<name>"[^"]*"|'[^']*'|[^\s="'@*][^\s=]*)[ \t]*=[ \t]*(?P<value>.*)""")
_JOB: Final = re.compile(r"(?P<cron>@\S+|\S+(?:[ \t]+\S+){4})[ \t]+(?P<rest>\S.*)")
_USER: Final = re.compile(r"(?P<user>[A-Za-z_][\w.:/-]*\$?)[ \t]+(?P<rest>\S.*)")
_PERCENT: Final = re.compile(r"(?<!\\)%")
_SHELLS: Final = {"/bin/sh": "shell", "sh": "shell", "/bin/bash": "bash", "/usr/bin/bash": "bash", "bash": "bash"}
"""The type of a step for the shells that steps know."""
_MINUTES: Final = re.compile(r"[0-9]{1,4}")
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line, which counts from 1."""

    line: int
    msg: str


@dataclass(frozen=True, slots=True)
class CronJob:
    """A line with a command, and what holds for it."""

    line: int
    cron: str
    command: str
    """As a shell gets it: what follows the first `%` is in `stdin`."""
    stdin: str | None = None
    user: str | None = None
    zone: str | None = None
    """CRON_TZ; None means the zone of the machine."""
    shell: str = "/bin/sh"
    delay: int = 0
    """RANDOM_DELAY, in minutes."""
    env: dict[str, str] = field(default_factory=dict)
    number: int = 1
    """Which of the lines with the same command, user and input it is, from 1."""

    @property
    def key(self) -> str:
        """Tells the lines of one crontab apart, whatever their times and variables."""
        parts = (self.user or "", self.command, self.stdin if self.stdin is not None else "", str(self.number))
        return sha256("\0".join(parts).encode()).hexdigest()[:8]

    def name(self, source: str) -> str:
        """The name of its schedule."""
        text = on_one_line(self.command)
        return f"{text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'} ({source} {self.key})"

    def fields(self) -> dict[str, object]:
        """What runs, as fields of a step."""
        kind = _SHELLS.get(self.shell)
        if self.stdin is None:
            command: str | list[str] = self.command if kind else [self.shell, "-c", self.command]
        elif kind and not self.command.endswith("\\"):
            command = f"{{ {self.command}\n}} {_here(self.stdin)}"
        else:  # not every shell knows here-documents, so that /bin/sh opens it
            kind, command = None, ["/bin/sh", "-c", f'exec "$0" -c "$1" {_here(self.stdin)}', self.shell, self.command]
        return {"command": command, "type": kind or "exec", "env": self.env}


def read_crontab(text: str, *, system: bool = False) -> tuple[list[CronJob], list[Fault]]:
    """The lines with a command, and everything that is wrong. `system` says that each has a user before its command, as
    in /etc/crontab and /etc/cron.d."""
    reader = _Reader(system)
    jobs: list[CronJob] = []
    for number, line in enumerate(text.split("\n"), start=1):
        jobs += reader.read(number, line.strip(" \t\r"))
    if len(jobs) > MAX_LINES:
        reader.faults.append(Fault(jobs[MAX_LINES].line, f"there are more than {MAX_LINES:,} lines with a command"))
    return jobs, sorted(reader.faults, key=lambda fault: fault.line)


class _Reader:
    """What the lines so far have set, and what was wrong with them."""

    def __init__(self, system: bool) -> None:
        self.faults: list[Fault] = []
        self._system = system
        self._variables: dict[str, str] = {}
        self._zone: str | None = None
        self._delay = 0
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def read(self, number: int, line: str) -> Iterator[CronJob]:
        """The job of a line, if it has one."""
        if not line or line.startswith("#"):
            return
        try:
            if assigned := _VARIABLE.fullmatch(line):
                self._assign(_unquoted(assigned["name"]), _unquoted(assigned["value"].rstrip()))
            else:
                yield self._job(number, line)
        except ValueError as error:
            self.faults.append(Fault(number, str(error)))

    def _assign(self, name: str, value: str) -> None:
        if name in UNUSED:
            return
        if name == "CRON_TZ":
            try:
                self._zone = check_zone(value) if value else None
            except ValueError as error:
                raise ValueError(f"CRON_TZ: {value!r} {error}") from None
        elif name == "RANDOM_DELAY":
            if not _MINUTES.fullmatch(value) or int(value) > 1440:
                raise ValueError("RANDOM_DELAY: minutes are needed, at most 1440")
            self._delay = int(value)
        elif not re.fullmatch(VARIABLE, name):
            raise ValueError(f"{name!r} is not a variable's name")
        else:
            self._variables[name] = value

    def _job(self, number: int, line: str) -> CronJob:
        if line.startswith("@reboot"):
            raise ValueError("@reboot is not a time: leave this line to the machine's own cron")
        found = _JOB.fullmatch(line)
        if found is None:
            raise ValueError("is neither a variable, NAME=VALUE, nor five fields of time and a command")
        cron, rest, user = " ".join(found["cron"].split()), found["rest"], None
        cron_fields(cron)
        if self._system:
            owned = _USER.fullmatch(rest)
            if owned is None:
                raise ValueError("a user is needed before the command, as in /etc/crontab")
            user, rest = owned["user"], owned["rest"]
        command, *more = (part.replace(r"\%", "%") for part in _PERCENT.split(rest))
        if not command.strip():
            raise ValueError("there is no command before %")
        stdin = "\n".join(more) or None
        what = (user or "", command, stdin or "")
        self._seen[what] += 1
        env = dict(self._variables)
        shell = env.get("SHELL") or "/bin/sh"
        return CronJob(number, cron, command, stdin, user, self._zone, shell, self._delay, env, number=self._seen[what])


def _unquoted(text: str) -> str:
    if text[:1] in ('"', "'"):
        if len(text) < 2 or text[-1] != text[0] or text[0] in text[1:-1]:
            raise ValueError(f"the quotation mark {text[0]} is not closed at the end of the value")
        return text[1:-1]
    return text


def _here(text: str) -> str:
    """A here-document of a shell with this text, which ends with a line end, as cron sees to."""
    lines = text.removesuffix("\n").split("\n")
    end = "END"
    while end in lines:
        end += "_"
    return "\n".join([f"<<'{end}'", *lines, end, ""])
