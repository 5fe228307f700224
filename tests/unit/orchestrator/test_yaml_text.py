"""YAML 1.2 with positions: values by the core schema, faults at their line and column, hostile text at small cost."""

import json

import _ruamel_yaml
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from orchestrator.domain import yaml_text
from orchestrator.domain.yaml_text import BadText, read


def faults(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(BadText) as caught:
        read(text)
    return [(*fault.position, fault.type) for fault in caught.value.faults]


def message(text: str) -> str:
    with pytest.raises(BadText) as caught:
        read(text)
    return caught.value.faults[0].msg


def test_the_fast_parser_is_used() -> None:
    # Without libyaml, ruamel.yaml parses in Python: 2 s for 256 KiB.
    assert YAML(typ="safe").Parser is _ruamel_yaml.CParser


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("", None),
        ("nULL", "nULL"),
        ("0o17", 15),
        ("017", 17),
        ("0x1F", 31),
        ("+12", 12),
        ("-12", -12),
        ("1_000", "1_000"),
        ("0b101", "0b101"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("1.10", 1.1),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("-", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("|-\n  5", "5"),
        ("3.11", 3.11),
        ("a:b", "a:b"),
        ("a #b", "a"),
        ("a#b", "a#b"),
        ("<<", "<<"),
    ],
)
def test_values_are_those_of_the_core_schema_of_yaml_1_2(written: str, value: object) -> None:
    if written == "-":
        assert read("a:\n  -").plain() == {"a": [None]}
        return
    found = read(f"a: {written}").plain()
    assert found == {"a": value}
    assert type(found["a"]) is type(value)  # type: ignore[index]


def test_each_value_and_key_has_its_place() -> None:
    root = read("name: x\nsteps:\n  - name: a\n    env: {K: v}\r\n    é: 'w'\n")
    assert isinstance(root.value, dict)
    steps = root.value["steps"]
    assert steps.key == (2, 1)
    assert isinstance(steps.node.value, list)
    step = steps.node.value[0]
    assert step.position == (3, 5)
    assert isinstance(step.value, dict)
    assert step.value["name"] == ((3, 5), yaml_text.Node((3, 11), "a", "a", characters=1))  # type: ignore[arg-type]
    env = step.value["env"].node
    assert (env.position, step.value["env"].key) == ((4, 10), (4, 5))
    assert isinstance(env.value, dict)
    assert (env.value["K"].key, env.value["K"].node.position) == ((4, 11), (4, 14))
    assert step.value["é"].node.position == (5, 8)


def test_aliases_and_merge_keys_are_expanded() -> None:
    text = """
base: &base {a: 1, b: 2}
same: *base
merged: {<<: *base, b: 3}
several: {<<: [{a: 9}, *base]}
again:
  b: 4
  <<: {<<: *base, c: 5}
text: {"<<": word}
list: [&one 1, *one]
key: {&k name: 1, *k : 2}
"""
    with pytest.raises(BadText) as caught:
        read(text)
    assert [(fault.loc, fault.type) for fault in caught.value.faults] == [(("key", "name"), "repeated_key")]
    assert read(text.replace("key: {&k name: 1, *k : 2}", "")).plain() == {
        "base": {"a": 1, "b": 2},
        "same": {"a": 1, "b": 2},
        "merged": {"a": 1, "b": 3},
        "several": {"a": 9, "b": 2},
        "again": {"a": 1, "b": 4, "c": 5},
        "text": {"<<": "word"},
        "list": [1, 1],
    }


def test_every_repeated_key_is_a_fault_at_its_place() -> None:
    assert faults("a: 1\nb:\n  c: 1\n  c: 2\n  d: 3\n  c: 4\na: 5\n") == [
        (4, 3, "repeated_key"),
        (6, 3, "repeated_key"),
        (7, 1, "repeated_key"),
    ]
    assert message("a: 1\n\na: 2\n") == "the key a is used twice in this map, first on line 1"


@pytest.mark.parametrize(
    ("text", "found", "says"),
    [
        ("8080: x", (1, 1, "key_type"), '8080 is not text, as a key is; put it in quotes: "8080"'),
        ("a:\n  true: x", (2, 3, "key_type"), '"true"'),
        ("? \n: x", (1, 2, "key_type"), "a key is missing before the ':'"),
        ("[a, b]: x", (1, 1, "key_type"), "a key is text, not a list or a map"),
        ("? {a: b}\n: x", (1, 3, "key_type"), "a key is text"),
        ("a: &l [b]\n*l : c", (2, 1, "key_type"), "a key is text"),
        ("a: !!str 5", (1, 4, "tag"), "!!str"),
        ("a: !env {b: c}", (1, 4, "tag"), "!env"),
        ("a: ! b", (1, 4, "tag"), "not supported"),
        ("a: *b", (1, 4, "alias"), "there is no anchor &b before this alias"),
        ("a: &b [*b]", (1, 8, "alias"), "within &b itself"),
        ("a: &b\n  c: {d: *b}", (2, 10, "alias"), "within &b itself"),
        ("a: {<<: 5}", (1, 9, "merge"), "takes a map"),
        ("a: .nan", (1, 4, "number"), "not a number that a field can have"),
        ("a: -.INF", (1, 4, "number"), "not a number"),
        ("a: 1e999", (1, 4, "number"), "too large a number"),
        ("a: " + "1" * 5000, (1, 4, "number"), "5,000 digits"),
        ("a: 1\n---\nb: 2", (2, 1, "several_documents"), "a file has one pipeline"),
        ("a: 1\n---\n", (2, 1, "several_documents"), "a file has one pipeline"),
        ("%YAML 1.1\n---\na: 1", (1, 1, "yaml_version"), "YAML 1.2"),
        ("", (1, 1, "empty"), "name: nightly"),
        ("\n# nothing\n", (1, 1, "empty"), "is empty"),
        ("---\n", (1, 1, "empty"), "is empty"),
        ("- a\n- b", (1, 1, "not_a_map"), "is a list; a pipeline is a map of its fields"),
        ("\n\nname", (3, 1, "not_a_map"), "is a single value"),
        ("a: b\nc: \x07", (2, 4, "character"), "U+0007"),
        ("a: b\r\nc: \x00", (2, 4, "character"), "U+0000"),
        ("a: \x7f", (1, 4, "character"), 'write "\\x7f"'),
        ("é: \x85", (1, 4, "character"), "U+0085"),
        ("a: b\u2028c", (1, 5, "character"), 'write "\\u2028"'),
        ("a: b\n\ufeffc: d", (2, 1, "character"), "U+FEFF must not stand in the text: remove it"),
        ("a: \ud800", (1, 4, "character"), "U+D800"),
        ("a:\n\t- b", (2, 1, "yaml_syntax"), "spaces, not with tabs"),
        ("a:\n  b: 1\n\tc: 2", (3, 1, "yaml_syntax"), "spaces, not with tabs"),
        ("a: b: c", (1, 5, "yaml_syntax"), "put text that has one in quotes"),
        ("a: 1\n b: 2", (2, 3, "yaml_syntax"), "the same indentation"),
        ("a: [1, 2", (2, 1, "yaml_syntax"), "the bracket that opens on line 1 is not closed"),
        ("\na: {b: 1\nc", (4, 1, "yaml_syntax"), "the bracket that opens on line 2 is not closed"),
        ('a: "x\n\n', (3, 1, "yaml_syntax"), "the quotes that open on line 1 are not closed"),
        ("a: {b: http://c}", (1, 12, "yaml_syntax"), "within brackets, text that has a ':' in it stands in quotes"),
        ("a: [b?, c]", (1, 6, "yaml_syntax"), "within brackets, text that has a '?' in it stands in quotes"),
        ("a: @b", (1, 4, "yaml_syntax"), "text that begins with @ stands in quotes"),
        ("a: `b`", (1, 4, "yaml_syntax"), "text that begins with ` stands in quotes"),
        ("a: %b", (1, 4, "yaml_syntax"), "text that begins with % stands in quotes"),
        ("a: *", (1, 5, "yaml_syntax"), "put text that begins so in quotes"),
        ('a: "\\q"', (1, 5, "yaml_syntax"), "use single quotes"),
        ('a: "\\ud83d"', (1, 7, "yaml_syntax"), "not a character's number"),
        ("a: 'it's'", (1, 8, "yaml_syntax"), "nothing may follow a closing quote"),
        ("a: >x\n  y", (1, 5, "yaml_syntax"), "on the line after '|' or '>'"),
        ("a: - b", (1, 4, "yaml_syntax"), "begin a list on its own line"),
        ("a: ]", (1, 4, "yaml_syntax"), "begins with a bracket in quotes"),
        ("a:\n- b\nc", (4, 1, "yaml_syntax"), "on line 3 lacks a ': '"),
        ("- a\nb: 1", (2, 1, "yaml_syntax"), "the list that begins on line 1"),
    ],
)
def test_a_fault_has_its_place_and_says_what_would_be_right(text: str, found: tuple[int, int, str], says: str) -> None:
    if text == "a:\n- b\nc":
        text += "\n"
    assert faults(text)[0] == found
    assert says in message(text)


def test_a_fault_names_the_field() -> None:
    with pytest.raises(BadText) as caught:
        read("steps:\n  - name: a\n  - env: {1: x, A: !x y}\n    <<: 3\n")
    assert [(fault.loc, fault.type) for fault in caught.value.faults] == [
        (("steps", 1, "env", "1"), "key_type"),
        (("steps", 1, "env", "A"), "tag"),
        (("steps", 1), "merge"),
    ]


def test_faults_that_can_be_passed_are_all_reported_before_one_that_cannot() -> None:
    assert faults("a: !x 1\na: 2\n3: 4\nb: 'open") == [
        (1, 4, "tag"),
        (2, 1, "repeated_key"),
        (3, 1, "key_type"),
        (4, 9, "yaml_syntax"),
    ]


def test_at_most_a_hundred_faults_are_reported() -> None:
    assert len(faults("a:\n" + "".join(f"  {n}: x\n" for n in range(1000)))) == yaml_text.MAX_FAULTS


def test_a_byte_order_mark_at_the_start_is_skipped() -> None:
    root = read("\ufeffname: x")
    assert root.plain() == {"name": "x"}
    assert root.position == (1, 1)


def test_tabs_are_fine_where_nothing_is_indented_by_them() -> None:
    assert read('{\n\t"a":\t[1,\t2]\n}').plain() == {"a": [1, 2]}
    assert read("a: |\n  one\ttwo\n").plain() == {"a": "one\ttwo\n"}


def test_a_text_of_more_than_256_kib_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "YAML", None)
    assert faults("a: " + "é" * 131_072) == [(1, 1, "too_large")]
    assert message("a: " + "x" * 1_023_997) == "has 1,024,000 bytes; a pipeline's text takes at most 262,144"


def bomb(width: int, levels: int) -> str:
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb(10, 20),
        bomb(2, 40),
        "a: &a " + "x" * 200_000 + "\nb: [" + ", ".join(["*a"] * 10_000) + "]",
        "a: &a {" + ", ".join(f"k{n}: 1" for n in range(9000)) + "}\nb:\n" + "  - <<: *a\n" * 9000,
        "a: &a {" + ", ".join(f"k{n}: 1" for n in range(9000)) + "}\nb: {<<: [" + ", ".join(["*a"] * 20_000) + "]}",
    ],
    ids=["ten-fold", "two-fold", "characters", "merges", "a-list-of-merges"],
)
def test_an_alias_bomb_is_refused_when_its_limit_is_reached(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events = 0
    parse = YAML.parse

    def counted(self: YAML, stream: str) -> object:
        nonlocal events
        for event in parse(self, stream):
            events += 1
            yield event

    monkeypatch.setattr(YAML, "parse", counted)
    assert faults(text)[0][2] == "too_large"
    assert "with its aliases expanded" in message(text)
    assert events < 2 * 60_000


@pytest.mark.parametrize("opening", ["[", "{a: ", "[a, ", "- ", "[ "])
def test_nesting_is_refused_where_it_is_too_deep(opening: str) -> None:
    # All of it would take libyaml minutes: its time grows with the square of the depth.
    line, column, type = faults(opening * (250_000 // len(opening)))[0]
    assert (line, type) == (1, "too_deep")
    assert column <= len(opening) * (yaml_text.MAX_DEPTH + 1)


def test_nesting_through_aliases_counts() -> None:
    deep = "[" * 20 + "]" * 20
    assert faults(f"a: &a {deep}\nb: [[[[[[[[[[[[[*a]]]]]]]]]]]]]") == [(2, 17, "too_deep")]
    assert read(f"a: &a {deep}\nb: [[*a]]").depth == 23


plain_text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\ufeff\uffff\ufffe"), max_size=20
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | plain_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain_text, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(plain_text, values, max_size=4), st.booleans(), st.sampled_from([None, 2]))
def test_json_is_yaml(fields: dict[str, object], ascii: bool, indent: int | None) -> None:
    assert read(json.dumps(fields, ensure_ascii=ascii, indent=indent)).plain() == fields
