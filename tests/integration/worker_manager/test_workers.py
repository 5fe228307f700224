"""Workers from the first heartbeat to the last word, with agents that only pretend."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, cast

from schemas.events import WorkerStarted, WorkerStopped
from tests.fixtures.processes import gone
from tests.integration.worker_manager.conftest import DEADLINE, Platform, Running, Start, events_in, stub
from worker_manager.fleet import STARTS_AT_ONCE
from worker_manager.providers.base import Handle, Provider, WorkerSpec


class Held:
    """The fleet's provider, whose processes start when the test says so."""

    def __init__(self, manager: Running) -> None:
        self._provider = manager.fleet._providers["process"]
        self._asked: asyncio.Queue[str] = asyncio.Queue()
        self.go = asyncio.Event()
        manager.fleet._providers = {"process": cast(Provider, self)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    async def asked(self) -> str:
        """Wait until one more process is to be started; its worker's id."""
        return await asyncio.wait_for(self._asked.get(), DEADLINE)

    async def start(self, spec: WorkerSpec) -> Handle:
        self._asked.put_nowait(spec.worker_id)
        await self.go.wait()
        return await self._provider.start(spec)


async def over(manager: Running, worker_id: str) -> Any:
    await asyncio.wait_for(manager.fleet.until_over(worker_id), DEADLINE)
    return await manager.call("GET", f"/workers/{worker_id}")


async def test_a_started_worker_is_a_real_process_and_is_announced(platform: Platform, manager: Running) -> None:
    ears = await platform.listen_to(WorkerStarted)

    # As `curl -d` sends it: with the content type of a form.
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    worker = await manager.call("POST", "/workers", data='{"type": "rust", "slots": 2}', headers=headers)

    assert (worker["status"], worker["type"], worker["provider"], worker["slots"]) == ("running", "rust", "process", 2)
    os.kill(worker["pid"], 0)
    [started] = events_in(await ears.next(), WorkerStarted)
    assert (started.worker_id, started.slots) == (worker["id"], 2)
    assert await manager.call("GET", f"/workers/{worker['id']}") == worker
    assert await manager.call("GET", f"/workers/{worker['id']}/status") == {"id": worker["id"], "status": "running"}
    assert await manager.call("GET", "/workers?status=running&type=rust") == [worker]
    for query, found in (("provider=process", [worker]), ("provider=docker", []), ("label=no=where", [])):
        assert await manager.call("GET", f"/workers?{query}") == found, query
    assert 'hodei_workers{status="running"} 1.0' in await manager.metrics()


async def test_one_key_starts_one_worker(manager: Running) -> None:
    headers = {"Idempotency-Key": "one"}
    first, second = await asyncio.gather(
        *(manager.call("POST", "/workers", json={"type": "x"}, headers=headers) for _ in range(2))
    )

    assert first == second
    assert len(await manager.call("GET", "/workers")) == 1


async def test_no_transaction_is_open_while_a_process_starts(platform: Platform, manager: Running) -> None:
    held = Held(manager)
    request = manager.call("POST", "/workers", json={}, headers={"Idempotency-Key": "one"})
    starting = asyncio.create_task(request)
    worker_id = await held.asked()

    # Both rows are committed and nobody's.
    for row in ("workers where status = 'starting'", "idempotency_keys where status = 200"):
        assert await platform.database.fetch_one(f"select * from {row} for update nowait") is not None
    assert (await manager.call("GET", f"/workers/{worker_id}"))["status"] == "starting"

    held.go.set()
    worker = await starting
    assert (worker["id"], worker["status"]) == (worker_id, "running")


async def test_another_replica_answers_the_worker_that_this_one_is_starting(start: Start, tmp_path: Path) -> None:
    first = await start(agent=stub("normal"))
    other = await start(agent=stub("normal"), folder=tmp_path / "other")
    held, headers = Held(first), {"Idempotency-Key": "one"}
    starting = asyncio.create_task(first.call("POST", "/workers", json={}, headers=headers))
    worker_id = await held.asked()

    meanwhile = await other.call("POST", "/workers", json={}, headers=headers)

    assert (meanwhile["id"], meanwhile["status"]) == (worker_id, "starting")
    held.go.set()
    worker = await starting
    assert await other.call("POST", "/workers", json={}, headers=headers) == worker
    assert len(await first.call("GET", "/workers")) == 1


async def test_a_key_is_unused_again_when_its_worker_did_not_start(start: Start) -> None:
    manager = await start(agent=stub("crash"))
    headers = {"Idempotency-Key": "one"}

    for _ in range(2):
        await manager.call("POST", "/workers", expect=503, json={}, headers=headers)

    assert len(await manager.call("GET", "/workers")) == 2


async def test_who_does_not_get_a_turn_to_start_a_worker_is_told_to_come_again(manager: Running) -> None:
    held = Held(manager)
    manager.fleet._turn = 0.05
    starting = [asyncio.create_task(manager.call("POST", "/workers", json={})) for _ in range(STARTS_AT_ONCE)]
    for _ in starting:
        await held.asked()

    async with manager.request("POST", "/workers", json={}, headers={"Idempotency-Key": "one"}) as answer:
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 0

    held.go.set()
    await asyncio.gather(*starting)
    await manager.call("POST", "/workers", json={}, headers={"Idempotency-Key": "one"})


async def test_a_drained_worker_stops_cleanly(platform: Platform, manager: Running) -> None:
    worker = await manager.call("POST", "/workers", json={})
    ears = await platform.listen_to(WorkerStopped)

    state = await manager.call("DELETE", f"/workers/{worker['id']}")

    assert state == {"id": worker["id"], "status": "draining"}
    [stopped] = events_in(await ears.next(), WorkerStopped)
    assert (stopped.worker_id, stopped.clean, stopped.exit_code) == (worker["id"], True, 0)
    ended = await over(manager, worker["id"])
    assert (ended["status"], ended["exit_code"]) == ("stopped", 0)
    assert ended["stopped_at"] is not None
    again = await manager.call("DELETE", f"/workers/{worker['id']}")
    assert again["status"] == "stopped"


async def test_a_drain_that_was_not_heard_is_said_again(start: Start) -> None:
    manager = await start(agent=stub("deaf"))
    worker = await manager.call("POST", "/workers", json={})

    await manager.call("DELETE", f"/workers/{worker['id']}")

    assert (await over(manager, worker["id"]))["status"] == "stopped"


async def test_force_ends_it_now_and_says_that_work_is_left(platform: Platform, manager: Running) -> None:
    worker = await manager.call("POST", "/workers", json={})
    ears = await platform.listen_to(WorkerStopped)

    state = await manager.call("DELETE", f"/workers/{worker['id']}?force=true")

    assert state["status"] == "stopped"
    assert await gone(worker["pid"])
    [stopped] = events_in(await ears.next(), WorkerStopped)
    assert (stopped.clean, stopped.exit_code, stopped.status) == (False, 137, "stopped")


async def test_a_crash_is_seen_at_once_and_leaves_nothing_running(
    platform: Platform, start: Start, tmp_path: Path
) -> None:
    manager = await start(agent=stub("mother"))
    worker = await manager.call("POST", "/workers", json={})
    child = int((tmp_path / "workers" / worker["id"] / "state" / "child").read_text())
    ears = await platform.listen_to(WorkerStopped)

    os.kill(worker["pid"], signal.SIGKILL)

    [stopped] = events_in(await ears.next(), WorkerStopped)
    assert (stopped.status, stopped.clean, stopped.exit_code) == ("failed", False, 137)
    assert await gone(child, within=0.1)  # before the word was out, not after
    ended = await over(manager, worker["id"])
    assert (ended["status"], ended["detail"]) == ("failed", "its process was ended by SIGKILL (9)")


async def test_one_that_ends_at_once_is_503_with_its_last_words(start: Start) -> None:
    manager = await start(agent=stub("crash"))

    problem = await manager.call("POST", "/workers", expect=503, json={})

    assert "no disk left" in problem["detail"]
    [worker] = await manager.call("GET", "/workers")
    assert (worker["status"], worker["exit_code"]) == ("failed", 3)
    assert "no disk left" in worker["detail"]


async def test_one_without_a_process_is_503_and_recorded_as_failed(start: Start) -> None:
    manager = await start(agent=["/nowhere/agent"])

    problem = await manager.call("POST", "/workers", expect=503, json={})

    assert "cannot start /nowhere/agent" in problem["detail"]
    [worker] = await manager.call("GET", "/workers")
    assert (worker["status"], worker["pid"]) == ("failed", None)
    assert "cannot start /nowhere/agent" in worker["detail"]
    assert 'hodei_worker_starts_total{result="failed"} 1.0' in await manager.metrics()


async def test_one_that_never_speaks_is_ended(start: Start) -> None:
    manager = await start(agent=stub("silent"))
    manager.fleet._first_word = 0.5

    problem = await manager.call("POST", "/workers", expect=503, json={})

    assert "no heartbeat from it" in problem["detail"]
    [worker] = await manager.call("GET", "/workers")
    assert worker["status"] == "failed"
    assert await gone(worker["pid"])


async def test_a_restart_of_the_service_adopts_its_workers(platform: Platform, start: Start) -> None:
    first = await start(agent=stub("normal"))
    worker = await first.call("POST", "/workers", json={})
    await first.stop()
    os.kill(worker["pid"], 0)

    second = await start(agent=stub("normal"))
    assert (await second.call("GET", f"/workers/{worker['id']}"))["status"] == "running"
    ears = await platform.listen_to(WorkerStopped)
    await second.call("DELETE", f"/workers/{worker['id']}")

    [stopped] = events_in(await ears.next(), WorkerStopped)
    assert (stopped.clean, stopped.status) == (True, "stopped")


async def test_one_that_died_meanwhile_is_failed_before_anybody_can_ask(platform: Platform, start: Start) -> None:
    first = await start(agent=stub("normal"))
    worker = await first.call("POST", "/workers", json={})
    await first.stop()
    ears = await platform.listen_to(WorkerStopped)
    os.kill(worker["pid"], signal.SIGKILL)
    assert await gone(worker["pid"])

    second = await start(agent=stub("normal"))

    found = await second.call("GET", f"/workers/{worker['id']}")
    assert found["status"] == "failed"
    [stopped] = events_in(await ears.next(), WorkerStopped)
    assert (stopped.worker_id, stopped.clean) == (worker["id"], False)


async def test_another_instance_drains_it_over_the_bus(start: Start, tmp_path: Path) -> None:
    owner = await start(agent=stub("normal"))
    other = await start(agent=stub("normal"), folder=tmp_path / "other")
    worker = await owner.call("POST", "/workers", json={})

    assert (await other.call("DELETE", f"/workers/{worker['id']}"))["status"] == "draining"

    assert (await over(owner, worker["id"]))["status"] == "stopped"
    assert (await other.call("GET", f"/workers/{worker['id']}/status"))["status"] == "stopped"


async def test_unknown_workers_are_not_found(manager: Running) -> None:
    nobody = "00000000-0000-7000-8000-000000000000"
    for method, path in (("GET", ""), ("GET", "/status"), ("DELETE", ""), ("DELETE", "?force=true")):
        await manager.call(method, f"/workers/{nobody}{path}", expect=404)
    await manager.call("GET", "/workers/nonsense", expect=404)
