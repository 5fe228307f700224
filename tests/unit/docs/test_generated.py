"""The generated pages say what the code says."""

import re

import pytest

from docs import generate


@pytest.mark.parametrize("page", sorted(generate.PAGES))
def test_the_page_is_what_the_tables_say(page: str) -> None:
    assert (generate.HERE / page).read_text() == generate.PAGES[page](), "run `make docs`"


BOUNDED = {
    "check", "consumer", "kind", "limit", "method", "name", "outcome", "priority", "reason", "result", "role", "route",
    "server", "source", "state", "status", "stream", "subject", "type", "version",
}  # fmt: skip


def test_names_units_and_labels_keep_the_conventions() -> None:
    declared = {one for process in generate.declared_metrics().values() for one in process}
    assert len(declared) > 80
    for one in declared:
        assert re.fullmatch(r"hodei(_[a-z]+)+", one.name), one
        assert one.name.endswith("_total") == (one.kind == "counter"), one
        assert ("seconds" in one.help) >= one.name.endswith("_seconds"), f"{one}: its help names no unit"
        assert ("bytes" in one.help.lower()) >= ("_bytes" in one.name), f"{one}: its help names no unit"
        assert one.help[0].isupper() or one.help[0].isdigit(), one
        assert one.help.endswith("."), one
        assert set(one.labels) <= BOUNDED, f"{one}: is the new label's set of values bounded?"


def test_one_name_means_one_thing_in_all_processes() -> None:
    kinds: dict[str, set[tuple[str, tuple[str, ...], str]]] = {}
    for process in generate.declared_metrics().values():
        for one in process:
            kinds.setdefault(one.name, set()).add((one.kind, one.labels, one.help))
    assert {name: told for name, told in kinds.items() if len(told) > 1} == {}
