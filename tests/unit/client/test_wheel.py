"""The wheel, installed beside packages of a stranger: it claims `hodei` only, and everything in it can be imported."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from hodei.interpreter import service_path

ROOT = Path(__file__).parents[3]
SOURCES = ("hodei", "orchestrator", "scheduler", "worker_manager", "nats_exporter", "shared", "schemas")
PROCESSES = ("orchestrator", "scheduler", "worker_manager", "worker_manager.agent", "nats_exporter")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages, with the wheel in it. It is built from a copy, so that no file is left here."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "build" / "lib" / "of_an_earlier_build").mkdir(parents=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(out), str(source)], check=True, timeout=120)
    [wheel] = out.iterdir()
    folder = tmp_path_factory.mktemp("packages")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A folder whose own packages have the names of ours."""
    for name in SOURCES[1:]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n")
    return tmp_path


def _python(*arguments: str, path: list[Path], cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these folders before the environment's packages, and without its editable installation."""
    found = os.pathsep.join(map(str, [*path, *site.getsitepackages()]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HODEI_")}
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        env={**environment, **variables, "PYTHONPATH": found},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_wheel_claims_one_name(installed: Path) -> None:
    [distribution] = metadata.distributions(path=[str(installed)])
    tops = {file.parts[0] for file in distribution.files or [] if not file.parts[0].endswith((".dist-info", ".data"))}

    assert tops == {"hodei"}
    assert (distribution.read_text("top_level.txt") or "").split() == ["hodei"]


def test_the_client_works_beside_a_strangers_packages(installed: Path, stranger: Path) -> None:
    program = (
        "import hodei, schemas, shared, scheduler; from hodei import Client, JobCreate, written;"
        "print(schemas.MINE and shared.MINE and scheduler.MINE, JobCreate(command='true').command)"
    )

    done = _python("-c", program, path=[stranger, installed], cwd=stranger)

    assert (done.stdout.split(), done.stderr) == (["True", "true"], "")


def test_every_module_of_hodei_is_found_without_the_others(installed: Path, tmp_path: Path) -> None:
    program = (
        "import importlib, pkgutil, hodei, sys\n"
        "for one in pkgutil.walk_packages(hodei.__path__, 'hodei.'):\n"
        "    if not one.name.endswith('__main__') and '._services' not in one.name: importlib.import_module(one.name)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules} & {'schemas', 'shared', 'scheduler'}))\n"
        "print(len([name for name in sys.modules if name.startswith('hodei.')]))"
    )

    done = _python("-P", "-c", program, path=[installed], cwd=tmp_path)

    ours, count = done.stdout.splitlines()
    assert (ours, done.stderr) == ("", "")
    assert int(count) > 50


def test_the_command_line_runs_the_services_of_the_wheel(installed: Path, stranger: Path) -> None:
    """`hodei up` has their settings checked by a process of theirs, and ends at the first wrong one."""
    done = _python("-P", "-m", "hodei", "up", path=[installed], cwd=stranger, HODEI_LINGER_MS="much")

    assert done.returncode == 2
    assert "HODEI_LINGER_MS" in done.stderr


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_starts_from_the_wheel(process: str, installed: Path, stranger: Path) -> None:
    services = installed / "hodei" / "_services"

    done = _python("-P", "-m", process, path=[services, installed], cwd=stranger, HODEI_START_DEADLINE="soon")

    assert done.returncode == 2
    assert "HODEI_START_DEADLINE" in done.stderr


def test_the_sql_and_the_pages_are_in_the_wheel(installed: Path) -> None:
    services = installed / "hodei" / "_services"

    def data(folder: Path) -> set[Path]:
        return {path.relative_to(folder) for kind in ("sql", "js", "css", "html") for path in folder.rglob(f"*.{kind}")}

    for name in SOURCES[1:]:
        assert data(services / name) == data(ROOT / name)
    assert (installed / "hodei" / "example.json").exists()


def test_a_path_of_the_users_own_comes_after_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert service_path(tmp_path) == {"PYTHONPATH": f"{tmp_path}{os.pathsep}/elsewhere"}
    monkeypatch.delenv("PYTHONPATH")
    assert service_path(tmp_path) == {"PYTHONPATH": str(tmp_path)}
    assert service_path(tmp_path / "gone") == {}
