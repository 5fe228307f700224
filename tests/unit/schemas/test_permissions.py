"""Permissions on the bus: every subject of the catalogue has an owner, and each user may do exactly its part.

Whether NATS enforces them is shown in tests/integration/bus/test_permissions.py.
"""

from __future__ import annotations

from typing import get_args

import pytest

from schemas import permissions
from schemas.events import EVENT_TYPES
from schemas.permissions import AGENT_VERBS, LISTENERS, PUBLISHED_BY_AGENTS, PUBLISHERS, SERVICES
from schemas.questions import QUESTIONS, QuestionSpec
from schemas.subjects import CONSUMERS, EVENT_PLURALS, REPORTS, STREAMS, AgentVerb, Catalogue

CATALOGUE = Catalogue("acme")
WORKER = "0197c0de-0000-7000-8000-000000000001"
OTHER = "0197c0de-0000-7000-8000-000000000002"


def test_every_event_type_has_a_publisher() -> None:
    assert set(PUBLISHERS) == set(EVENT_TYPES), "add the event type to schemas.permissions.PUBLISHERS"
    assert all(PUBLISHERS.values())


def test_agents_publish_reports_and_logs() -> None:
    assert {kind for kind, publishers in PUBLISHERS.items() if "agent" in publishers} == {*REPORTS, "logs.appended"}


def test_every_kind_of_event_says_who_hears_it() -> None:
    assert set(LISTENERS) == set(EVENT_PLURALS), "add the kind to schemas.permissions.LISTENERS"


def test_every_subject_of_an_agent_has_two_ends() -> None:
    assert set(AGENT_VERBS) == set(get_args(AgentVerb)), "add the verb to schemas.permissions.AGENT_VERBS"
    assert all(AGENT_VERBS.values())
    assert set(AGENT_VERBS) > PUBLISHED_BY_AGENTS


def test_every_stream_is_of_a_kind_that_permissions_know() -> None:
    """A new stream needs publishers, and readers if it is to be read: see `schemas.permissions`."""
    assert {spec.name for spec in STREAMS} == {"events", "logs", "dead", "probes"}


@pytest.mark.parametrize("spec", CONSUMERS, ids=lambda spec: spec.durable)
def test_a_durable_consumer_is_used_by_its_owner_alone(spec: permissions.ConsumerSpec) -> None:
    acknowledgement = f"$JS.ACK.acme-events.{spec.durable}.>"

    users = {owner for owner in SERVICES if acknowledgement in permissions.service(CATALOGUE, owner).publish}

    assert users == {spec.owner}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: f"{one.owner}.{one.name}")
def test_a_question_is_heard_by_its_owner_alone(question: QuestionSpec[object, object]) -> None:
    subject = CATALOGUE.question(question.owner, question.name)

    hearing = {owner for owner in SERVICES if subject in permissions.service(CATALOGUE, owner).subscribe}

    assert hearing == {question.owner}


def test_no_service_publishes_what_only_another_says() -> None:
    scheduler = permissions.service(CATALOGUE, "scheduler").publish

    assert "acme.tasks.scheduled" in scheduler
    assert "acme.jobs.succeeded" not in scheduler
    assert "acme.feed.>" not in scheduler
    assert not any(".logs." in subject or subject.endswith("acme-logs.*") for subject in scheduler)


def test_an_agent_names_itself_in_everything_that_it_publishes() -> None:
    allowed = permissions.agent(CATALOGUE, WORKER)

    assert f"acme.executions.finished.{WORKER}" in allowed.publish
    assert f"acme.logs.*.{WORKER}" in allowed.publish
    assert f"acme.agents.{WORKER}.heartbeat" in allowed.publish
    assert all(WORKER in subject.split(".") for subject in (*allowed.publish, *allowed.subscribe))


def test_two_agents_share_no_subject() -> None:
    one, other = permissions.agent(CATALOGUE, WORKER), permissions.agent(CATALOGUE, OTHER)

    assert not {*one.publish, *one.subscribe} & {*other.publish, *other.subscribe}


@pytest.mark.parametrize("worker_id", ["", "*", ">", "a.b", "a b", "a\n", "é"])
def test_a_worker_id_that_is_not_one_token_is_refused(worker_id: str) -> None:
    with pytest.raises(ValueError, match="is not a token"):
        permissions.agent(CATALOGUE, worker_id)


def test_a_reader_hears_the_feed_and_says_nothing() -> None:
    assert permissions.feed(CATALOGUE) == permissions.Permissions((), ("acme.feed.>",))
    assert permissions.feed(CATALOGUE, ["acme.feed.jobs.*.failed", "acme.logs.>", "acme.jobs.*"]).publish == ()


@pytest.mark.parametrize(
    "subject",
    [
        *("", ">", "*", "acme.>", "acme.*.x", "other.feed.>", "$SYS.>", "$JS.API.>", "_INBOX.>", "acme.feed"),
        *(
            "acme.agents.x.run",
            "acme.ask.>",
            "acme.dead.>",
            "acme.probes.>",
            "acme.feed.>.x",
            "acme.feed.a b",
            "acme.feed.a*",
        ),
    ],
)
def test_a_reader_may_not_hear_what_is_not_for_readers(subject: str) -> None:
    with pytest.raises(ValueError, match=r"should begin with|is not a token"):
        permissions.feed(CATALOGUE, [subject])


def test_each_user_has_an_inbox_of_its_own() -> None:
    users = [
        *(permissions.service(CATALOGUE, owner) for owner in SERVICES),
        permissions.agent(CATALOGUE, WORKER),
        permissions.agent(CATALOGUE, OTHER),
        permissions.system(CATALOGUE),
    ]

    inboxes = [[one for one in user.subscribe if one.startswith("_INBOX.")] for user in users]

    assert [len(one) for one in inboxes] == [1] * len(users)
    assert len({one[0] for one in inboxes}) == len(users)
