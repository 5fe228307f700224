"""What the acknowledgement subject of a message tells."""

import pytest

from shared.bus.pull import Position, stored_at


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.hodei-events.feed.3.120.7.1795478400000000000.42",
        "$JS.ACK.hub.ACCOUNT.hodei-events.feed.3.120.7.1795478400000000000.42.token",
        "$JS.ACK.hub.ACCOUNT.hodei-events.feed.3.120.7.1795478400000000000.42",
    ],
)
def test_position_is_read_from_both_forms_of_the_subject(reply: str) -> None:
    assert Position.of(reply) == Position(deliveries=3, stream_seq=120, consumer_seq=7, pending=42)
    assert stored_at(reply) == 1795478400
