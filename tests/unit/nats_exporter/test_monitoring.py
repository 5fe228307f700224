"""In a cluster, and among consumers that come and go, everything is told of once and by who leads it."""

import orjson

from nats_exporter.monitoring import Jsz


def consumer(name: str, *, durable: bool = True, leader: str | None = None) -> dict[str, object]:
    return {
        "name": name,
        "config": {"durable_name": name} if durable else {"name": name},
        **({} if leader is None else {"cluster": {"leader": leader}}),
    }


def test_a_stream_and_its_consumers_are_told_of_by_their_own_leaders() -> None:
    streams = [
        {
            "name": "events",
            "cluster": {"leader": "n1"},
            "consumer_detail": [
                consumer("mine", leader="n1"),
                consumer("other", leader="n2"),
                consumer("reader", durable=False, leader="n1"),
            ],
        },
        {"name": "logs", "cluster": {"leader": "n2"}},
    ]
    jsz = Jsz.model_validate_json(orjson.dumps({"account_details": [{"stream_detail": streams}]}))

    assert [stream.name for stream in jsz.streams("n1")] == ["events"]
    assert [stream.name for stream in jsz.streams("n2")] == ["logs"]
    assert [(stream, one.name) for stream, one in jsz.durables("n1")] == [("events", "mine")]
    assert [(stream, one.name) for stream, one in jsz.durables("n2")] == [("events", "other")]


def test_a_single_server_answers_for_all_and_one_without_jetstream_for_nothing() -> None:
    alone = Jsz.model_validate_json(
        orjson.dumps({"account_details": [{"stream_detail": [{"name": "e", "consumer_detail": [consumer("c")]}]}]})
    )
    assert [stream.name for stream in alone.streams("any")] == ["e"]
    assert [one.name for _, one in alone.durables("any")] == ["c"]
    assert list(Jsz.model_validate_json(b"{}").streams("any")) == []
