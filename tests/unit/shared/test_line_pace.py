"""A flood of messages becomes one log line a second."""

from __future__ import annotations

from shared.telemetry import LinePace


def test_one_line_a_second_is_due_and_tells_how_many_were_left_out() -> None:
    seconds = [100.0]
    pace = LinePace(clock=lambda: seconds[0])
    assert [pace.due() for _ in range(4)] == [0, None, None, None]
    seconds[0] += 0.9
    assert pace.due() is None
    seconds[0] += 0.1
    assert [pace.due(), pace.due()] == [4, None]
    seconds[0] += 10
    assert pace.due() == 1
