"""Which workers get credentials: what a join token allows, and whose id a worker may claim."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schemas.enrolment import Enrol, JoinTokenText, Refusal
from shared.keys import KeyPair, Kind
from worker_manager.domain.enrolment import Admitted, Holder, Member, Refused, Ticket, admit, may_renew

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
WORKER, KEY, OTHER_KEY = "01a20000-0000-7000-8000-000000000001", "U" + "A" * 55, "U" + "B" * 55
TICKET = Ticket(
    id="01a20000-0000-7000-8000-000000000002",
    name="rack 7",
    type=None,
    labels=None,
    max_uses=2,
    uses=0,
    expires_at=NOW + timedelta(minutes=5),
    revoked_at=None,
)
MEMBER = Member(worker_id=WORKER, user_key=KEY, join_token_id=TICKET.id, revoked_at=None)
CLAIM = Enrol(
    worker_id=WORKER, user_key=KEY, proof="A" * 86 + "==", name="w", type="gpu", labels={"zone": "north", "disk": "ssd"}
)


def test_a_new_worker_uses_the_token_once() -> None:
    assert admit(TICKET, CLAIM, None, NOW) == Admitted(counts=True)


def test_a_worker_whose_answer_was_lost_uses_nothing_up() -> None:
    used_up = replace(TICKET, uses=2)
    assert admit(used_up, CLAIM, MEMBER, NOW) == Admitted(counts=False)


def test_a_worker_may_enrol_again_with_another_token_which_counts() -> None:
    assert admit(TICKET, CLAIM, replace(MEMBER, join_token_id="01a20000-0000-7000-8000-000000000003"), NOW) == Admitted(
        counts=True
    )


@pytest.mark.parametrize(
    ("ticket", "member", "reason", "words"),
    [
        (None, None, Refusal.UNKNOWN_TOKEN, "no such join token"),
        (replace(TICKET, revoked_at=NOW), None, Refusal.REVOKED_TOKEN, "was revoked"),
        (replace(TICKET, expires_at=NOW), None, Refusal.EXPIRED_TOKEN, "has expired"),
        (replace(TICKET, uses=2), None, Refusal.USED_UP, "may be used 2 times"),
        (replace(TICKET, max_uses=1, uses=1), None, Refusal.USED_UP, "may be used once"),
        (replace(TICKET, type="cpu"), None, Refusal.OTHER_TYPE, "of the type 'cpu'"),
        (replace(TICKET, labels={"zone": "north"}), None, Refusal.OTHER_LABELS, "the label disk=ssd"),
        (replace(TICKET, labels={"zone": "south", "disk": "ssd"}), None, Refusal.OTHER_LABELS, "zone=north"),
        (replace(TICKET, labels={}), None, Refusal.OTHER_LABELS, "the label disk=ssd"),
        (TICKET, replace(MEMBER, user_key=OTHER_KEY), Refusal.OTHER_WORKER, "with another key"),
        (TICKET, replace(MEMBER, revoked_at=NOW), Refusal.REVOKED_WORKER, "was revoked"),
        (replace(TICKET, uses=2), replace(MEMBER, join_token_id=None), Refusal.USED_UP, "may be used"),
    ],
)
def test_a_refusal_says_why(ticket: Ticket | None, member: Member | None, reason: Refusal, words: str) -> None:
    decided = admit(ticket, CLAIM, member, NOW)
    assert isinstance(decided, Refused)
    assert decided.reason is reason
    assert words in decided.detail


@pytest.mark.parametrize(
    ("holder", "reason", "words"),
    [
        (Holder("worker"), Refusal.TAKEN_KEY, "that of another worker"),
        (Holder("join token"), Refusal.TAKEN_KEY, "that of a join token"),
        (Holder("credentials"), Refusal.TAKEN_KEY, "that of read-only credentials"),
        (Holder("service"), Refusal.TAKEN_KEY, "that of a service"),
        (Holder("worker", revoked=True), Refusal.REVOKED_WORKER, "the key of this worker was revoked"),
        (Holder("key", revoked=True), Refusal.REVOKED_WORKER, "the key of this worker was revoked"),
    ],
)
def test_a_key_that_has_a_holder_enrols_no_other_worker(holder: Holder, reason: Refusal, words: str) -> None:
    decided = admit(TICKET, CLAIM, None, NOW, holder=holder)
    assert isinstance(decided, Refused)
    assert decided.reason is reason
    assert words in decided.detail


def test_labels_within_the_bound_are_fine() -> None:
    bound = replace(TICKET, type="gpu", labels={"zone": "north", "disk": "ssd", "more": "x"})
    assert admit(bound, CLAIM, None, NOW) == Admitted(counts=True)


@pytest.mark.parametrize(
    ("member", "key", "reason"),
    [
        (MEMBER, KEY, None),
        (None, KEY, Refusal.OTHER_WORKER),
        (MEMBER, OTHER_KEY, Refusal.OTHER_WORKER),
        (replace(MEMBER, revoked_at=NOW), KEY, Refusal.REVOKED_WORKER),
    ],
)
def test_only_the_key_that_enrolled_may_renew(member: Member | None, key: str, reason: Refusal | None) -> None:
    refused = may_renew(member, WORKER, key)
    assert (refused and refused.reason) == reason


def test_a_join_token_does_not_show_its_seed() -> None:
    pair = KeyPair.new(Kind.USER)
    text = JoinTokenText(TICKET.id, "a.eyJuYW1lIjoieCJ9.c", pair.seed)
    assert pair.seed not in repr(text)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"zone": "south"}, "the label disk=ssd; it allows zone=south"),
        ({}, "the label disk=ssd; it allows none"),
        ({f"k{n}": "v" for n in range(10)}, "k6=v, k7=v and 2 more"),
    ],
)
def test_a_refusal_for_a_label_says_which_are_allowed(labels: dict[str, str], words: str) -> None:
    decided = admit(replace(TICKET, labels=labels), CLAIM, None, NOW)
    assert isinstance(decided, Refused)
    assert words in decided.detail


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the text is empty"),
        ("hodei_join_eyJ0eXAiOiJKV1Q", "is incomplete or mistyped: it has 26 characters"),
        ("hodei_abc", "a join token begins with hodei_join_"),
        ("hodei_join_a b", "one line without spaces"),
    ],
)
def test_what_is_wrong_with_a_join_token_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        JoinTokenText.parse(f"{text}\n")


@pytest.mark.parametrize("text", ["", "hodei_join_a", "hodei_join_a.b.c.SUxx", "x" * 10_000, "hodei_join_a.b.c"])
def test_a_text_that_is_not_a_join_token_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="join token") as raised:
        JoinTokenText.parse(text)
    assert not text or text not in str(raised.value)


def test_a_damaged_join_token_is_refused() -> None:
    seed = KeyPair.new(Kind.USER).seed
    with pytest.raises(ValueError, match="is damaged"):
        JoinTokenText.parse(JoinTokenText("", "a.eyJuYW1lIjoieCJ9.c", seed).text)
