"""Which processes belong to an execution: by its mark, by its session, by descent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from shared.ids import new_id
from shared.process import tree
from shared.process.tree import Member, Session, find, mark, ticks

MARK = "HODEI_TEST_MARK"
VALUE = new_id()


@pytest.fixture
def leader() -> Iterator[int]:
    """A marked process that leads a session of its own."""
    process = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: VALUE}, start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


def pids(members: list[Member]) -> list[int]:
    return [member.pid for member in members]


def test_a_process_is_counted_as_started_when_it_was_started() -> None:
    before = ticks()
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    after = ticks()
    try:
        [member] = find([], session=Session(process.pid))
    finally:
        process.kill()
        process.wait()
    assert before <= member.started <= after


def test_a_session_that_began_after_the_leader_was_waited_for_is_a_strangers(leader: int) -> None:
    [member] = find([], session=Session(leader))
    assert pids(find([], session=Session(leader, ended=member.started))) == [leader]
    stranger = Session(leader, ended=member.started - 1)
    assert find([], session=stranger) == []
    assert find([mark(MARK, new_id())], session=stranger) == []
    assert pids(find([mark(MARK, VALUE)], session=stranger)) == [leader]


def test_one_early_member_proves_the_whole_session(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = {
        10: Member(10, parent=1, group=5, session=5, started=90),
        11: Member(11, parent=1, group=5, session=5, started=200),
        12: Member(12, parent=11, group=12, session=12, started=201),
        13: Member(13, parent=1, group=13, session=13, started=90),
    }
    monkeypatch.setattr(tree, "_pids", lambda: list(everyone))
    monkeypatch.setattr(tree, "_stat", everyone.get)
    assert pids(find([], session=Session(5, ended=100))) == [10, 11, 12]
    del everyone[10]
    assert find([], session=Session(5, ended=100)) == []
    assert pids(find([], session=Session(5))) == [11, 12]
