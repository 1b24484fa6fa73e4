"""Merged identifies leave the people of Encharge as the single ones would.

The stand-in's people model (streams.dev.encharge) is the judge: both sequences of calls are
carried out, and everything but ids that Encharge makes up and the timelines must agree.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from multidict import MultiDict

from streams.batching.coalesce import coalesce
from streams.batching.pending import Pending
from streams.destinations.encharge import Encharge
from streams.dev.encharge import api
from streams.dev.encharge.log import Call
from streams.dev.encharge.state import StandIn
from streams.errors import PayloadError
from tests.support.fakes import name_of, pending

patiently = settings(
    derandomize=True,
    deadline=None,
    max_examples=250,
    suppress_health_check=[HealthCheck.too_slow],
)
ENCHARGE = Encharge(api_key="key")
KINDS = {s.action: s for s in ENCHARGE.subscriptions}

EMAILS = st.sampled_from(["1@example.com", "2@example.com"])
COMMON = {
    "plan": st.sampled_from(["free", "pro", None]),
    "city": st.sampled_from(["Sofia", {"name": "Berlin"}]),
    "email": EMAILS,
    "tags": st.sampled_from(["one", "two,three"]),
}
ODD = {
    "email": st.sampled_from(["", None, 7, ["list"], {"a": 1}]),
    "tags": st.sampled_from([["list"], None]),
    # Traits that have the names of ids.
    "userId": st.sampled_from(["u1", "u3"]),
    "segmentAnonymousId": st.sampled_from(["a1", "a3"]),
    "id": st.sampled_from(["x", "y"]),
}
# Few at a time: most neighbours shall be alike enough to be merged.
TRAITS = st.builds(
    lambda common, odd: {**common, **odd},
    st.fixed_dictionaries({}, optional=COMMON),
    st.just({}) | st.just({}) | st.fixed_dictionaries({}, optional=ODD),
)


def event(kind: str, ids: tuple[str | None, str | None], traits: Any, email: Any) -> Any:
    user, device = ids
    return {
        "type": kind,
        **({} if user is None else {"userId": user}),
        **({} if device is None else {"anonymousId": device}),
        **({"traits": traits} if kind == "identify" else {"event": "Clicked"}),
        **({} if email is None else {"email": email}),
    }


EVENTS = st.builds(
    event,
    st.sampled_from(["identify", "identify", "identify", "identify", "track"]),
    st.sampled_from(
        [
            *[("u1", "a1")] * 4,
            ("u1", None),
            (None, "a1"),
            ("u2", "a1"),
            ("u1", "a2"),
            (None, None),
        ]
    ),
    TRAITS,
    st.none() | st.none() | st.none() | EMAILS,
)


def identify(**fields: Any) -> dict[str, Any]:
    return {"type": "identify", "traits": {}, **fields}


def window(events: list[dict[str, Any]]) -> list[Pending]:
    """The events as they stand in a window, mapped; what does not map is left out."""
    made = []
    for number, event in enumerate(events):
        try:
            mapped = KINDS[event["type"]].build({**event, "messageId": f"m{number}"})
        except PayloadError:
            continue
        # One person's: who that is for Encharge is what the rules of merging must find out.
        made.append(pending(f"m{number}", "lane", requests=[mapped]))
    return made


def carry_out(calls: list[Any]) -> list[dict[str, Any]]:
    """The people of a stand-in after these calls."""
    state = StandIn()
    for request in calls:
        call = Call(1, request.method, "/v1")
        incoming = api.Incoming(key="key", query=MultiDict(), names={}, data=request.body)
        api.describe(call, request.body)
        api.answer(state, api.ROUTES[0], incoming, call)
    people = []
    for person in state.people:
        shown = person.as_json()
        del shown["id"], shown["calls"]
        shown["anonymousIds"] = sorted(shown["anonymousIds"])
        people.append(shown)
    return sorted(people, key=repr)


def requests(events: list[Pending]) -> list[Any]:
    return [event.merged_request or event.requests[0] for event in events]


@patiently
@given(st.lists(EVENTS, max_size=8))
@example(
    [
        identify(userId="u1", email="1@example.com", traits={"email": ["x"]}),
        identify(userId="u1", email="1@example.com"),
    ]
)
@example(
    [
        identify(userId="u1", traits={"userId": "u3", "plan": "free"}),
        identify(userId="u1", traits={"plan": "pro"}),
    ]
)
@example(
    [
        identify(traits={"email": "1@example.com", "plan": "pro"}),
        identify(userId="u1", traits={"email": "1@example.com"}),
        identify(userId="u1", traits={"email": "2@example.com"}),
    ]
)
@example([identify(userId="u1", traits={"tags": tags}) for tags in ("one", "two")])
def test_the_same_people_with_fewer_calls(events: list[dict[str, Any]]) -> None:
    single = window(events)
    merged = coalesce(window(events), ENCHARGE.merge)
    assert carry_out(requests(merged)) == carry_out(requests(single))


@patiently
@given(st.lists(EVENTS, max_size=8))
def test_nothing_is_lost_or_overtaken(events: list[dict[str, Any]]) -> None:
    names = [name_of(event) for event in window(events)]
    merged = coalesce(window(events), ENCHARGE.merge)
    assert [name_of(e) for kept in merged for e in (*kept.merged, kept)] == names
    for kept in merged:
        if kept.merged:
            assert kept.merged_request is not None
            assert kept.merged_request.body["messageId"] == name_of(kept)


@patiently
@given(st.lists(EVENTS, max_size=8))
def test_the_single_calls_are_left_as_they_were(events: list[dict[str, Any]]) -> None:
    # A merged call that is rejected is taken apart again.
    single = [event.requests[0] for event in window(events)]
    merged = coalesce(window(events), ENCHARGE.merge)
    assert [e.requests[0] for kept in merged for e in (*kept.merged, kept)] == single


def test_identifies_of_one_person_are_merged_at_all() -> None:
    events = [{"type": "identify", "userId": "u1", "traits": {"n": n}} for n in range(5)]
    [kept] = coalesce(window(events), ENCHARGE.merge)
    assert kept.merged_request is not None
    assert kept.merged_request.body["user"] == {"userId": "u1", "n": 4}
