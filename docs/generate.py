"""Writes the generated pages of docs/, from the tables in schemas/ and from the code; a test keeps them true."""

from pathlib import Path
from typing import Any, Final

from docs import log_events
from schemas import states
from schemas.events import EVENT_TYPES
from schemas.subjects import CONSUMERS

HERE: Final = Path(__file__).parent
MACHINES: Final[tuple[states.StateMachine[Any], ...]] = (
    states.JOB,
    states.TASK,
    states.EXECUTION,
    states.WORKER,
    states.WORKER_PROCESS,
    states.SCHEDULE,
)


def state_diagrams() -> str:
    """Every lifecycle as a Mermaid diagram."""
    parts = ["# Lifecycles\n\nGenerated from `schemas/states.py` by `make docs`.\n"]
    for machine in MACHINES:
        lines = [f"    [*] --> {machine.initial}"]
        for state, following in machine.transitions.items():
            lines += [f"    {state} --> {target}" for target in sorted(following)]
            lines += [] if following else [f"    {state} --> [*]"]
        parts.append(f"## {machine.name.capitalize()}\n\n```mermaid\nstateDiagram-v2\n" + "\n".join(lines) + "\n```\n")
    return "\n".join(parts)


def event_catalogue() -> str:
    """Every event type, its fields, and who consumes it."""
    parts = [
        "# Events\n\nGenerated from `schemas/events.py` and `schemas/subjects.py` by `make docs`. The bus subject is"
        " `hodei.<type>`; on the feed each event stands alone on `hodei.feed.<plural>.<id>.<verb>`.\n"
    ]
    for name, model in sorted(EVENT_TYPES.items()):
        takers = [f"`{spec.durable}`" for spec in CONSUMERS if name in spec.event_types]
        fields = ", ".join(
            f"`{field}`" + ("" if info.is_required() else "?") for field, info in model.model_fields.items()
        )
        about = " ".join((model.__dict__.get("__doc__") or "").split())
        lines = [
            f"## {name}",
            *([about] if about else []),
            f"Fields: {fields}",
            f"Consumers: {', '.join(takers) or 'none'}",
        ]
        parts.append("\n\n".join(lines) + "\n")
    return "\n".join(parts)


def log_event_catalogue() -> str:
    """Every event that is logged, at which level, by whom, with which fields of its own."""
    lines = [
        "# Log events\n\nGenerated from the code by `make docs`. What the fields mean, and which every line has, is in"
        " [logging.md](logging.md).\n",
        "| event | level | said by | fields |",
        "|---|---|---|---|",
    ]
    for name, event in sorted(log_events.found().items()):
        levels = ", ".join(sorted({log_events.LEVELS.get(level, "varies") for level in event.levels}))
        fields = ", ".join(f"`{one}`" for one in sorted(event.fields))
        lines.append(f"| `{name}` | {levels} | {', '.join(sorted(event.packages))} | {fields} |")
    return "\n".join(lines) + "\n"


PAGES: Final = {
    "states.md": state_diagrams,
    "events.md": event_catalogue,
    "log-events.md": log_event_catalogue,
}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (HERE / page).write_text(write())
