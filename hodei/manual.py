"""What `--help` and docs/cli.md have about each command besides its options: examples, exit codes, and its JSON.

A command that is missing here fails a test, as does an entry without a command.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import typer
from typer.core import TyperCommand

from hodei.usage import Group, without_types_of_flags

Exits = Mapping[str, str]
"""The meanings of exit codes, by the code as text."""

ORDINARY: Final[Exits] = {
    "0": "done",
    "1": "the platform refused, or did not answer",
    "2": "wrong usage, or a wrong setting",
}
FOLLOWS: Final[Exits] = {
    "N": "the exit code of the command",
    "1, 2": "the job failed in another way; wrong usage",
    "124": "the job was out of time",
    "125": "hodei itself failed, or the platform refused",
    "126, 127": "the program is not executable, is not there",
    "128 + N": "signal N ended the command, or hodei; 143: cancelled",
}
"""Of commands that follow a job to its end."""
SERVES: Final[Exits] = {"0": "stopped", "1": "it could not start, or failed", "2": "wrong usage, or a wrong setting"}
FINDS: Final[Exits] = {**ORDINARY, "1": "a file has errors, or the platform refused or did not answer"}


@dataclass(frozen=True)
class Entry:
    """A command: examples of its use, what `--json` prints, in which `Name` is a model, and its exit codes."""

    examples: tuple[str, ...]
    json: str
    exits: Exits


def _of(*examples: str, json: str = "", exits: Exits = ORDINARY) -> Entry:
    return Entry(examples, json, exits)


_ID: Final = '`{"id": "…"}`'

MANUAL: Final[Mapping[str, Entry]] = {
    "run": _of(
        "hodei run -- make test",
        "hodei run --label team=web --env CI 'make test | tee log'",
        "hodei run --detach --priority high --attempts 3 -- ./deploy.sh",
        json="`JobDetail`: the job as it was accepted (`--detach`), or at its end, in place of its output",
        exits=FOLLOWS,
    ),
    "jobs": _of(
        "hodei jobs --status failed --created-after 12h",
        "hodei jobs --columns ID,NAME",
        json="`Job` a line; with `--counts` `JobCounts`",
    ),
    "show": _of("hodei show 8bcf28c2", json="`JobDetail`"),
    "logs": _of(
        "hodei logs -f 8bcf28c2",
        "hodei logs 8bcf28c2 --step build --grep error --timestamps",
        json="`JobLogLine` a line",
        exits={**ORDINARY, "1": "a part is no longer kept; the platform refused or did not answer"},
    ),
    "cancel": _of(
        "hodei cancel 8bcf28c2",
        "hodei cancel --all --status pending --name 'nightly*'",
        json=f"{_ID}; of several jobs, and with `--all`, `JobsChanged`",
        exits={
            **ORDINARY,
            "1": "a job could not be cancelled; the platform refused or did not answer",
        },
    ),
    "delete": _of(
        "hodei delete 8bcf28c2 9ad1f0e3",
        "hodei delete --all --label team=web --dry-run",
        json=f"{_ID} a line; with `--all`, `JobsChanged`",
        exits={**ORDINARY, "1": "a job could not be deleted; the platform refused or did not answer"},
    ),
    "rerun": _of(
        "hodei rerun 8bcf28c2 --from failed -f",
        "hodei rerun --all --status failed --created-after 12h --from failed",
        json="`JobDetail`: the new job, with `--follow` at its end; of several jobs, and with `--all`, `JobsChanged`",
        exits={
            **FOLLOWS,
            "0": "done; with --follow: the job succeeded",
            "1, 2": "a job could not be run again, or failed in another way; wrong usage",
        },
    ),
    "priority": _of("hodei priority 8bcf28c2 high", json="`Job`"),
    "wait": _of("hodei wait 8bcf28c2 9ad1f0e3 --timeout 600", json="`JobDetail` a line", exits=FOLLOWS),
    "explain": _of("hodei explain 8bcf28c2", json="`Explanation` a line, one for each task"),
    "events": _of("hodei events --type 'jobs.*' --since 1h", "hodei events --job 8bcf28c2", json="`FeedEvent` a line"),
    "prune": _of("hodei prune --older-than 30d --dry-run", json="`JobsDeleted`"),
    "executions": _of("hodei executions --worker-name north --exit-code 1", json="`ManagedExecution` a line"),
    "queue": _of("hodei queue --priority high", json="`QueuedTask` a line"),
    "concurrency": _of("hodei concurrency --key deploy", json="`ConcurrencyKey` a line"),
    "open": _of("hodei open 8bcf28c2", "hodei open queue", json='`{"url": "…"}`'),
    "approvals": _of("hodei approvals", json="`WaitingApproval` a line"),
    "approve": _of("hodei approve 8bcf28c2 --comment 'tested' --input version=v3", json="`DecidedTask`"),
    "reject": _of("hodei reject 8bcf28c2 --comment 'not today'", json="`DecidedTask`"),
    "up": _of("hodei up", "HODEI_AUTH=on hodei up --data-dir /var/lib/hodei", exits=SERVES),
    "demo": _of("hodei demo", exits=FOLLOWS),
    "worker": _of("hodei worker --join rack7.token --label zone=north --slots 4", exits=SERVES),
    "login": _of("hodei login https://hodei.example.org:8080", json="`WhoAmI`, with the name of the `profile`"),
    "logout": _of("hodei logout", json='`{"profile": "…"}`'),
    "whoami": _of("hodei whoami", json="`WhoAmI`"),
    "audit": _of("hodei audit --outcome forbidden", json="`AuditEntry` a line"),
    "version": _of("hodei version", json="`Versions`"),
    "doctor": _of(
        "hodei doctor",
        json="`Check` a line",
        exits={"0": "nothing is wrong; there may be warnings", "1": "something is wrong", "2": ORDINARY["2"]},
    ),
    "completion": _of(
        'eval "$(hodei completion bash)"',
        "hodei completion fish >~/.config/fish/completions/hodei.fish",
        exits={"0": "done", "2": "wrong usage"},
    ),
    "dead-letters list": _of("hodei dead-letters list --service scheduler", json="`DeadLetter` a line"),
    "dead-letters show": _of("hodei dead-letters show 8bcf28c2", json="`DeadLetterDetail`"),
    "dead-letters resend": _of("hodei dead-letters resend --all", json="`DeadLetter` a line"),
    "dead-letters delete": _of("hodei dead-letters delete 8bcf28c2", json=f"{_ID} a line"),
    "tokens list": _of("hodei tokens list --role admin", json="`Token` a line"),
    "tokens create": _of(
        "hodei tokens create ci --role submitter --expires 90d",
        json="`TokenCreated`; with `--token-file` without the token",
    ),
    "tokens revoke": _of("hodei tokens revoke 8bcf28c2", json=f"{_ID} a line"),
    "workers list": _of("hodei workers list --label zone=north", json="`RegisteredWorker` a line"),
    "workers drain": _of("hodei workers drain 8bcf28c2", json="`RegisteredWorker`"),
    "workers resume": _of("hodei workers resume 8bcf28c2", json="`RegisteredWorker`"),
    "workers join-token": _of(
        "hodei workers join-token 'rack 7' --uses 20 --out rack7.token",
        json="`JoinTokenCreated`; with `--out` without the token",
    ),
    "workers join-tokens": _of("hodei workers join-tokens --state active", json="`JoinToken` a line"),
    "workers revoke-join-token": _of("hodei workers revoke-join-token 8bcf28c2", json=_ID),
    "workers revoke": _of("hodei workers revoke 8bcf28c2", json="`Enrolment`"),
    "credentials feed": _of(
        "hodei credentials feed --subjects 'hodei.feed.jobs.*.failed'",
        json="`CredentialsCreated`; with `--out` without the credentials",
    ),
    "credentials list": _of("hodei credentials list", json="`Credentials` a line"),
    "credentials revoke": _of("hodei credentials revoke 8bcf28c2", json=_ID),
    "pipelines list": _of("hodei pipelines list --status archived", json="`Pipeline` a line"),
    "pipelines show": _of("hodei pipelines show nightly", json="`Pipeline`"),
    "pipelines versions": _of("hodei pipelines versions nightly", json="`Pipeline` a line, one for each version"),
    "pipelines export": _of("hodei pipelines export nightly >nightly.yaml", json="`PipelineCreate`"),
    "pipelines schema": _of("hodei pipelines schema >pipeline.json", json="the JSON schema of pipeline files"),
    "pipelines lint": _of(
        "hodei pipelines lint ci/",
        json='`{"file": "…", "line": 1, "column": 1, "where": "…", "message": "…"}` a line, one for each error',
        exits=FINDS,
    ),
    "pipelines apply": _of(
        "hodei pipelines apply ci/ --dry-run",
        json="a line for each file, or for each error as with `lint`",
        exits=FINDS,
    ),
    "pipelines run": _of(
        "hodei pipelines run nightly -p target=x86",
        json="`JobDetail`: the job as it was accepted (`--detach`), or at its end, in place of its output",
        exits=FOLLOWS,
    ),
    "schedules list": _of("hodei schedules list --status paused", json="`Schedule` a line"),
    "schedules add": _of(
        "hodei schedules add --cron '30 2 * * *' --name backup './backup.sh'",
        "hodei schedules add --every 6h --pipeline nightly",
        json="`Schedule`",
    ),
    "schedules change": _of("hodei schedules change backup --cron '0 3 * * *'", json="`Schedule`"),
    "schedules show": _of("hodei schedules show backup", json="`Schedule`"),
    "schedules pause": _of("hodei schedules pause backup", json="`Schedule`"),
    "schedules resume": _of("hodei schedules resume backup", json="`Schedule`"),
    "schedules trigger": _of("hodei schedules trigger backup", json="`Firing`"),
    "schedules next": _of("hodei schedules next backup", json="`NextTime` a line"),
    "schedules history": _of("hodei schedules history backup", json="`Firing` a line"),
    "schedules remove": _of("hodei schedules remove backup", json=_ID),
    "schedules import-crontab": _of(
        "hodei schedules import-crontab crontab.txt --dry-run",
        json="a line for each line of the crontab",
        exits=FINDS,
    ),
}
"""Every command, by its name behind `hodei`."""
GROUPS: Final = {
    "dead-letters": "resend",
    "tokens": "create",
    "workers": "list",
    "credentials": "feed",
    "pipelines": "run",
    "schedules": "add",
}
"""The command of each group whose example the group's own help shows."""
NO_JSON: Final = frozenset({"up", "demo", "worker", "completion"})
"""Commands without `--json`: they serve, or print a script."""


def text_of(entry: Entry) -> str:
    """The end of a command's help."""
    width = max(len(code) for code in entry.exits)
    lines = ["Example:" if len(entry.examples) == 1 else "Examples:"]
    lines += [f"  {example}" for example in entry.examples]
    lines += ["", "Exit codes:"]
    lines += [f"  {code:<{width}}  {meaning}" for code, meaning in entry.exits.items()]
    return "\n".join(f" {line}".rstrip() for line in lines)


class Documented(TyperCommand):
    """A command whose help ends with its epilog as it is written, unlike typer's, which wraps it, and shows no types of
    flags."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The arguments and options, with --help."""
        return without_types_of_flags(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        epilog, self.epilog = self.epilog, None
        super().format_help(ctx, formatter)
        self.epilog = epilog
        if epilog:
            typer.echo(epilog)


def document(app: typer.Typer) -> None:
    """Give each command of `app` the examples and exit codes of its entry, and each group an example."""
    for group in app.registered_groups:
        group.cls = Group
        group.epilog = f"Example: {MANUAL[f'{_name_of(group)} {GROUPS[_name_of(group)]}'].examples[0]}"
    for path, command in _commands(app):
        command.cls = Documented
        command.help = _paragraphs(command.callback.__doc__ or "")
        if (entry := MANUAL.get(path)) is not None:
            command.epilog = text_of(entry)


def _paragraphs(docstring: str) -> str:
    """A docstring without the line ends within its paragraphs, where typer would break lines."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in docstring.split("\n\n"))


def _commands(app: typer.Typer, before: str = "") -> Iterator[tuple[str, Any]]:
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.strip("_").replace("_", "-")
        yield f"{before}{name}", command
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from _commands(group.typer_instance, f"{before}{_name_of(group)} ")


def _name_of(group: Any) -> str:
    return str(group.name or group.typer_instance.info.name)
