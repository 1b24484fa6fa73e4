"""What is wrong with a mapping is told at once, all of it, and nothing that is right."""

from __future__ import annotations

from typing import Any

import pytest

from streams.errors import SettingsError
from streams.mapping import compile_mapping
from streams.mapping.compiler import _GOOD, find_faults
from streams.mapping.directives import DIRECTIVES
from streams.mapping.whole import ROOT
from tests.unit.mapping.test_directives import BAD, LAX


@pytest.mark.parametrize("mapping", [*BAD, *LAX], ids=str)
def test_what_the_compiler_refuses_has_a_fault(mapping: Any) -> None:
    found = find_faults({"a": mapping, "b": mapping}, path="m")
    assert any(fault.startswith("m.a") for fault in found)
    assert len({fault.partition(": ")[0] for fault in found}) == len(found)
    # Each of two is found, and what is wrong with one has no part in the other.
    assert sorted(fault.replace("m.b", "m.a", 1) for fault in found) == sorted(
        2 * [fault for fault in found if fault.startswith("m.a")]
    )


@pytest.mark.parametrize("name", sorted(DIRECTIVES))
def test_the_options_to_try_others_beside_are_right_and_complete(name: str) -> None:
    good = _GOOD.get(name)
    if good is None:
        # It has no options by name: something simple is right.
        assert find_faults({"a": {name: ["$.a"] if name == "@arrayPath" else "a"}}, path="m") == []
        return
    compile_mapping({name: good})
    for option in good:
        rest = {key: value for key, value in good.items() if key != option}
        found = find_faults({"a": {name: {**rest, "nonsense": 1}}}, path="m")
        assert any(fault.startswith(f"m.a.{name}.nonsense: ") for fault in found)


@pytest.mark.parametrize(
    ("mapping", "places"),
    [
        (
            {"a": {"@path": 1}, "b": [{"@path": 2}, {"c": {"@path": 3}}]},
            ["a.@path", "b.0", "b.1.c"],
        ),
        ({"@merge": {"direction": "up", "objects": [1, 2]}}, ["@merge.d", "@merge.o", "@merge.o"]),
        ({"@path": {"@path": {"@path": 1}}}, ["@path.@path.@path"]),
        ({"@pth": {"@pth": 1}}, ["@pth: ", ": "]),
        ({"@path": {"@pth": 1}, "@liquid": {"@pth": 1}}, ["@path: ", "@liquid: ", ": "]),
        ({"a": {1: {"@path": 1}}}, ["a.1.@path", "a: "]),
        ({"a": {"@literal": b"x"}}, ["a.@literal"]),
        ({"a": {"@path": 1}, ROOT: {"@transform": {"apply": {"b": {"@path": 1}}}}}, ["@tr", "@tr"]),
        ({"a": {"@path": 1}, ROOT: 5}, [ROOT]),
    ],
    ids=str,
)
def test_each_fault_has_its_place(mapping: Any, places: list[str]) -> None:
    found = [fault.removeprefix("m").removeprefix(".") for fault in find_faults(mapping, path="m")]
    assert len(found) == len(places), found
    for place in places:
        [*fitting] = [fault for fault in found if fault.startswith(place)]
        assert fitting, found
        found.remove(fitting[0])


def test_the_compiler_itself_stops_at_the_first() -> None:
    with pytest.raises(SettingsError) as caught:
        compile_mapping({"a": {"@path": 1}, "b": {"@path": 1}})
    assert len(caught.value.args) == 1
