"""What becomes of jobs that arrive at concurrency keys, and which of those that wait are admitted."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.concurrency import (
    Arrivals,
    Claim,
    ClaimState,
    Full,
    Key,
    Line,
    LineTooLong,
    Member,
    Waiter,
    admitted,
    held_by,
    rendered_key,
)
from orchestrator.domain.expressions import BadExpression
from schemas.concurrency import MAX_WAITING, WhenFull
from schemas.states import Reason

K = Key("key", "k")
OTHER = Key("key", "other")
POLICIES: list[WhenFull] = ["queue", "cancel_oldest", "cancel_newest", "reject"]


def job(number: int) -> Member:
    return Member(f"id-{number}", f"job {number}")


def outcome(arrivals: Arrivals, place: int) -> str:
    start = arrivals.starts[place]
    return start.cancelled.value if start.cancelled else start.state.value if start.state else "at once"


def test_a_job_without_a_claim_begins_at_once() -> None:
    arrivals = Arrivals({})
    arrivals.add(job(0), [])
    assert outcome(arrivals, 0) == "at once"


def test_jobs_of_one_request_are_decided_in_their_order() -> None:
    arrivals = Arrivals({K: Line(K)})
    for number in range(4):
        arrivals.add(job(number), [Claim(K, 2, "queue")])
    assert [outcome(arrivals, place) for place in range(4)] == ["held", "held", "waiting", "waiting"]
    assert arrivals.starts[2].detail == (
        "the concurrency key 'k' lets at most 2 jobs at a time run, and job id-0 (job 0) and job id-1 (job 1) hold it"
    )


def test_a_new_job_does_not_overtake_those_that_are_about_to_be_admitted() -> None:
    arrivals = Arrivals({K: Line(K, holding=0, staying=1, ready=1, waiting=1)})
    assert arrivals.add(job(0), [Claim(K, 1, "queue")]).state is ClaimState.WAITING
    with pytest.raises(Full, match="others wait for it before this one"):
        arrivals.add(job(1), [Claim(K, 1, "reject")])


def test_the_newest_stay_where_a_job_cancels_the_oldest() -> None:
    line = Line(K, holding=3, staying=7, waiting=4, holders=[job(90), job(91), job(92)])
    arrivals = Arrivals({K: line})
    for number in range(5):
        arrivals.add(job(number), [Claim(K, 3, "cancel_oldest")])
    assert [outcome(arrivals, place) for place in range(5)] == ["superseded", "superseded", *["waiting"] * 3]
    assert (line.superseded, line.superseded_by, line.staying) == (7, "id-2", 3)


def test_those_that_are_being_stopped_are_not_cancelled_again() -> None:
    line = Line(K, holding=1, staying=0, holders=[job(90)])
    arrivals = Arrivals({K: line})
    arrivals.add(job(0), [Claim(K, 1, "cancel_oldest")])
    assert (outcome(arrivals, 0), line.superseded) == ("waiting", 0)


def test_a_job_holds_all_its_keys_or_none() -> None:
    arrivals = Arrivals({K: Line(K), OTHER: Line(OTHER, holding=1, staying=1, holders=[job(90)])})
    arrivals.add(job(0), [Claim(K, 1, "queue"), Claim(OTHER, 1, "queue")])
    arrivals.add(job(1), [Claim(K, 1, "queue")])
    assert [outcome(arrivals, place) for place in range(2)] == ["waiting", "held"]


def test_a_job_that_was_accepted_before_is_cancelled_and_not_refused() -> None:
    arrivals = Arrivals({K: Line(K, holding=1, staying=1, holders=[job(90)])})
    start = arrivals.add(job(0), [Claim(K, 1, "reject")], refuses=False)
    assert start.cancelled is Reason.CONCURRENCY_LIMIT


def test_a_line_has_a_bound() -> None:
    arrivals = Arrivals({K: Line(K, holding=1, staying=1, waiting=MAX_WAITING - 1, holders=[job(90)])})
    arrivals.add(job(0), [Claim(K, 1, "queue")])
    with pytest.raises(LineTooLong, match="10,000 jobs wait for the concurrency key 'k' already"):
        arrivals.add(job(1), [Claim(K, 1, "queue")], later=True)


@given(st.lists(st.tuples(st.sampled_from(POLICIES), st.integers(1, 3)), max_size=30), st.integers(0, 4))
def test_no_more_hold_a_key_than_the_limit_of_each_lets(wishes: list[tuple[WhenFull, int]], before: int) -> None:
    line = Line(K, holding=before, staying=before, holders=[job(100 + number) for number in range(before)])
    arrivals = Arrivals({K: line})
    kept = 0
    for number, (when_full, limit) in enumerate(wishes):
        held = before + sum(outcome(arrivals, place) == "held" for place in range(kept))
        try:
            start = arrivals.add(job(number), [Claim(K, limit, when_full)])
        except Full:
            assert held >= limit
            break
        kept += 1
        if start.state is ClaimState.HELD and not start.cancelled:
            assert sum(outcome(arrivals, place) == "held" for place in range(kept)) + before <= limit
        elif start.cancelled is None:
            assert line.holding + line.ready >= limit
    now = Counter(outcome(arrivals, place) for place in range(kept))
    assert line.holding == before + now["held"]
    assert line.waiting == now["waiting"]
    assert line.staying == before - line.superseded + now["held"] + now["waiting"]


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=20), st.integers(0, 3), st.integers(0, 1))
def test_all_that_can_be_admitted_are(waiters: list[tuple[int, bool]], of_k: int, of_other: int) -> None:
    holding = {K: of_k, OTHER: of_other}
    line = [
        Waiter(f"id-{number}", [Claim(K, limit, "queue"), *([Claim(OTHER, 1, "queue")] if both else [])])
        for number, (limit, both) in enumerate(waiters)
    ]
    chosen = admitted(line, holding)
    for one in line:
        fits = all(holding[claim.key] < claim.limit for claim in one.claims)
        assert one.job_id in chosen or not fits
    assert holding[OTHER] <= 1


def test_a_message_names_a_few_holders() -> None:
    assert held_by([job(1)], 1) == "job id-1 (job 1)"
    assert held_by([job(1), job(2)], 2) == "job id-1 (job 1) and job id-2 (job 2)"
    assert (
        held_by([job(1), job(2), job(3), job(4)], 9)
        == "job id-1 (job 1), job id-2 (job 2), job id-3 (job 3) and 6 more"
    )


@pytest.mark.parametrize(
    ("template", "params", "key"),
    [
        ("deploy", {}, "deploy"),
        ("${{ params.a }}-${{params.b}}", {"a": 3.0, "b": True}, "3-true"),
        ("$${{ params.a }}", {}, "${{ params.a }}"),
        ("${{ params.a }}", {"a": "${{ params.b }}"}, "${{ params.b }}"),
        ("ключ 🔑", {}, "ключ 🔑"),
        ("${{ params.a }}", {"a": "k" * 500}, "k" * 500),
    ],
)
def test_a_key_gets_the_values_of_its_expressions(template: str, params: dict[str, float | str], key: str) -> None:
    assert rendered_key(template, params) == key


@pytest.mark.parametrize(
    ("template", "params", "says"),
    [
        ("${{ params.a }}", {}, "the job has no parameter 'a'"),
        ("${{ params.a }}", {"a": ""}, "is empty"),
        ("${{ params.a }}", {"a": "k" * 501}, "more than 500 characters"),
        ("k" * 501, {}, "501 characters"),
        ("${{ params.a }}", {"a": "x\u202ey"}, "control a terminal"),
        ("${{ params.a }}", {"a": "x\0y"}, "control a terminal"),
        ("${{ params.a }}", {"a": "\ud800"}, "control a terminal"),
        ("  ", {}, "visible"),
        ("${{ matrix.x }}", {}, "may only refer to params.NAME"),
        ("${{ params.a", {}, "has no '}}'"),
    ],
)
def test_what_cannot_be_a_key_is_refused(template: str, params: dict[str, str], says: str) -> None:
    with pytest.raises(BadExpression, match=says):
        rendered_key(template, params)
