"""A pipeline's graph: what is refused, and in which order steps may run."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import graph


@dataclass(frozen=True)
class S:
    name: str
    depends_on: Sequence[str] = ()


@st.composite
def dags(draw: st.DrawFn) -> list[S]:
    """Steps that only depend on earlier ones, then shuffled."""
    count = draw(st.integers(0, 12))
    steps = [
        S(f"s{i}", draw(st.lists(st.sampled_from([f"s{j}" for j in range(i)]), unique=True)) if i else [])
        for i in range(count)
    ]
    return draw(st.permutations(steps))


def faults(*steps: S) -> list[tuple[tuple[str | int, ...], str]]:
    return [(fault.loc, fault.type) for fault in graph.graph_faults(steps)]


def test_an_unknown_name_is_pointed_at() -> None:
    assert faults(S("a"), S("b", ["a", "c"])) == [(("steps", 1, "depends_on", 1), "unknown_step")]


def test_a_repeated_name_is_pointed_at() -> None:
    assert faults(S("a"), S("a")) == [(("steps", 1, "name"), "repeated_step")]
    [fault] = graph.graph_faults([S("a"), S("b"), S("a")])
    assert fault.msg == "step name 'a' is used twice (steps 0 and 2)"


def test_a_step_that_waits_for_itself_is_a_cycle() -> None:
    assert faults(S("a", ["a"])) == [(("steps", 0, "depends_on"), "cycle")]


def test_a_cycle_names_its_steps_and_no_others() -> None:
    [fault] = graph.graph_faults([S("a"), S("b", ["a", "c"]), S("c", ["b"]), S("d", ["c"])])
    assert fault.msg.removeprefix("the steps depend on each other in a cycle: ") in ("b → c → b", "c → b → c")


@given(dags())
def test_every_graph_without_a_cycle_is_accepted_and_ordered(steps: list[S]) -> None:
    assert graph.graph_faults(steps) == []
    order = graph.topological(steps)
    place = {name: index for index, name in enumerate(order)}
    assert sorted(order) == sorted(step.name for step in steps)
    assert all(place[needed] < place[step.name] for step in steps for needed in step.depends_on)


@given(dags())
def test_ancestors_are_what_a_step_depends_on_directly_or_through_others(steps: list[S]) -> None:
    needs = {step.name: set(step.depends_on) for step in steps}

    def reached(name: str) -> set[str]:
        return needs[name].union(*(reached(one) for one in needs[name]))

    found = graph.ancestors(steps)
    assert {name: {one for one in needs if one in found[name]} for name in needs} == {
        name: reached(name) for name in needs
    }
    assert all("no such step" not in one for one in found.values())


@given(dags(), st.data())
def test_closing_a_path_into_a_ring_is_always_found(steps: list[S], data: st.DataObject) -> None:
    edges = [(step, needed) for step in steps for needed in step.depends_on]
    if not edges:
        return
    late, early = data.draw(st.sampled_from(edges))
    ring = [S(s.name, [*s.depends_on, late.name]) if s.name == early else s for s in steps]
    found = graph.cycle(ring)
    needs = {step.name: step.depends_on for step in ring}
    assert found
    assert all(after in needs[name] for name, after in zip(found, [*found[1:], found[0]], strict=True))
