"""An agent that runs nothing: it speaks like one, or fails to, as its first argument says. Run as a module.

`normal` heartbeats and obeys a drain; `silent` never speaks; `crash` ends at once with code 3; `deaf` hears the first
drain and forgets it; `mother` starts a process that leaves its session and would outlive it.
"""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime

from schemas.agents import PROTOCOL, Drain, Heartbeat
from shared.bus import Bus
from shared.ids import new_id

MODE = sys.argv[1]
WORKER_ID = os.environ["HODEI_WORKER_ID"]


async def main() -> int:
    if MODE == "crash":
        print("no disk left", file=sys.stderr)  # noqa: T201  # what a broken agent says
        return 3
    if MODE == "silent":
        await asyncio.sleep(60)
    if MODE == "mother":
        child = subprocess.Popen(  # noqa: ASYNC220  # a moment, before anything else runs
            ["sleep", "300"], start_new_session=True, env={**os.environ, "HODEI_EXECUTION_ID": "x"}
        )
        with open(f"{os.environ['HODEI_STATE_DIR']}/child", "w") as file:  # noqa: ASYNC230  # a test's process
            file.write(str(child.pid))
    bus = Bus(os.environ["NATS_URL"], name="stub", namespace=os.environ["HODEI_NAMESPACE"])
    await bus.start()
    incarnation, asked = new_id(), asyncio.Event()
    drains = 0

    async def drain(_subject: str, payload: bytes, _reply: str) -> None:
        nonlocal drains
        drains += 1
        if Drain.model_validate_json(payload).exit and not (MODE == "deaf" and drains == 1):
            asked.set()

    async def beat(*, leaving: bool) -> None:
        heartbeat = Heartbeat(
            protocol=PROTOCOL,
            worker_id=WORKER_ID,
            incarnation=incarnation,
            slots=int(os.environ["HODEI_WORKER_SLOTS"]),
            name=os.environ["HODEI_WORKER_NAME"],
            type=os.environ["HODEI_WORKER_TYPE"],
            sent_at=datetime.now(UTC),
            draining=leaving,
            leaving=leaving,
        )
        await bus.send(bus.catalogue.agent(WORKER_ID, "heartbeat"), heartbeat.model_dump_json().encode())

    await bus.subscribe(bus.catalogue.agent(WORKER_ID, "drain"), drain)
    while not asked.is_set():
        await beat(leaving=False)
        try:
            await asyncio.wait_for(asked.wait(), 0.1)
        except TimeoutError:
            continue
    await beat(leaving=True)
    await bus.stop()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
