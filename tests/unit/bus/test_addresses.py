"""What is said of a NATS server that does not answer."""

import pytest

from shared.bus import Bus
from shared.errors import Unavailable


async def test_the_password_in_an_address_is_not_repeated() -> None:
    bus = Bus("nats://hodei:hidden@127.0.0.1:1,nats://127.0.0.1:2", name="orchestrator", start_deadline=0.2)

    with pytest.raises(Unavailable, match=r"NATS at 127\.0\.0\.1:1, 127\.0\.0\.1:2") as raised:
        await bus.start()

    assert "hidden" not in str(raised.value)
