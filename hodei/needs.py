"""What a step needs of a worker, in words."""

from schemas.rest.jobs import Task


def needs_text(task: Task) -> str:
    """The labels and the resources on one line: `gpu=yes, cpu_m 4000`; empty if it needs none."""
    labels = [f"{key}={value}" for key, value in sorted(task.requires.items())]
    resources = {} if task.resources is None else task.resources.model_dump()
    return ", ".join(labels + [f"{name} {need}" for name, need in resources.items() if need])
