"""The end of a process in words."""

from __future__ import annotations

import signal

import pytest

from schemas.endings import ending_in_words


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with exit code 0"),
        (128, "ended with exit code 128"),
        (137, "was ended by SIGKILL (9)"),
        (-9, "was ended by SIGKILL (9)"),
        (-(signal.SIGRTMIN + 1), f"was ended by SIGRTMIN+1 ({signal.SIGRTMIN + 1})"),
        (128 + 99, "was ended by signal (99)"),
    ],
)
def test_a_signal_is_named_however_the_code_tells_of_it(code: int, words: str) -> None:
    assert ending_in_words(code) == words
