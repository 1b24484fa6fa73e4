"""Triggers, whatever their text: refused, or true or false of every event, and the same again."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import PayloadError, SettingsError
from streams.routing.triggers import compile_trigger, event_types
from tests.property.test_mapping import EVENTS

NAMES = st.sampled_from(
    ["type", "event", "userId", "name", "properties.a", "traits.email", "context.page", "nope"]
)
VALUES = st.sampled_from(['"track"', '"a"', "5", "1.5", "true", "false", "null", "'x'", '"*a"'])
COMPARISONS = st.tuples(NAMES, st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "*"]), VALUES).map(
    " ".join
)
CALLS = st.tuples(
    st.sampled_from(["", "!"]), st.sampled_from(["contains", "match"]), NAMES, VALUES
).map(lambda parts: "{}{}({}, {})".format(*parts))
TRIGGERS = st.recursive(
    COMPARISONS | CALLS,
    lambda inner: (
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join)
        | inner.map("({})".format)
    ),
    max_leaves=5,
)
TEXTS = TRIGGERS | st.text(alphabet="type=\"'()!<>.,and or5\\ \n", max_size=24) | st.text()


@settings(deadline=None)
@given(TEXTS, EVENTS)
def test_any_text(text: str, event: dict[str, Any]) -> None:
    parity = compile_trigger(text, parity=True)
    try:
        answer = parity(event)
    except PayloadError:
        answer = None
    assert answer in (True, False, None)
    try:
        strict = compile_trigger(text)
    except SettingsError:
        return
    # What is accepted means the same in both modes, and never fails.
    assert strict(event) is answer is strict(event)


@settings(deadline=None)
@given(TRIGGERS, EVENTS, st.sampled_from(["5", "1.5", "true", "null", "a", "track", None, []]))
def test_no_event_of_another_type_matches(text: str, event: dict[str, Any], kind: Any) -> None:
    try:
        matches = compile_trigger(text)
    except SettingsError:
        return
    types = event_types(text)
    for one in (event, {**event, "type": kind}):
        if types is not None and one["type"] not in [*types]:
            assert matches(one) is False
