"""What is hidden in events that people read."""

import orjson

from shared.masking import HIDDEN, shown_event


def test_outputs_are_masked_as_environments_are() -> None:
    values = {"TAG": "v1", "DEPLOY_TOKEN": "x", "URL": "https://user:secret@host/"}
    hidden = {"TAG": "v1", "DEPLOY_TOKEN": HIDDEN, "URL": "https://user:***@host/"}
    assert shown_event({"data": {"outputs": values}}) == {"data": {"outputs": hidden}}
    assert shown_event({"data": {"run": {"env": values}}}) == {"data": {"run": {"env": hidden}}}
    text = orjson.dumps({"data": {"outputs": values}}).decode()
    assert shown_event(text) == orjson.dumps({"data": {"outputs": hidden}}).decode()
