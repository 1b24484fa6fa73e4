"""Merged identifies leave the people of Encharge as the single ones would.

The stand-in's people model (streams.dev.encharge) is the judge: both sequences of calls are
carried out, and everything but ids that Encharge makes up and the timelines must agree.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from multidict import MultiDict

from streams.batching.coalesce import coalesce
from streams.batching.pending import Pending
from streams.destinations.encharge import Encharge
from streams.dev.encharge import api
from streams.dev.encharge.state import StandIn
from streams.dev.standin.log import Call
from streams.errors import PayloadError
from tests.support.delivering import SUBSCRIPTIONS
from tests.support.fakes import name_of, pending
from tests.support.people import events, people

patiently = settings(
    derandomize=True,
    deadline=None,
    max_examples=250,
    suppress_health_check=[HealthCheck.too_slow],
)
ENCHARGE = Encharge(api_key="key", subscriptions=SUBSCRIPTIONS)
EVENTS = events("identify", "identify", "identify", "identify", "Clicked", "Tagged", "Untagged")


def identify(**fields: Any) -> dict[str, Any]:
    return {"type": "identify", "traits": {}, **fields}


def window(given: list[dict[str, Any]]) -> list[Pending]:
    """The events as they stand in a window, mapped; what does not map is left out."""
    made = []
    for number, event in enumerate(given):
        try:
            [fires] = [s for s in ENCHARGE.subscriptions if s.matches(event)]
            mapped = fires.build({**event, "messageId": f"m{number}"})
        except PayloadError:
            continue
        # One person's: who that is for Encharge is what the rules of merging must find out.
        made.append(pending(f"m{number}", "lane", requests=[mapped]))
    return made


def carry_out(calls: list[Any]) -> list[dict[str, Any]]:
    """The people of a stand-in after these calls."""
    state = StandIn()
    for request in calls:
        path = urlsplit(request.url).path
        call = Call(1, request.method, path)
        incoming = api.Incoming(key="key", query=MultiDict(), names={}, data=request.body)
        api.describe(call, request.body)
        [route] = [r for r in api.ROUTES if (r.method, r.path) == (request.method, path)]
        api.answer(state, route, incoming, call)
    return people(state)


def requests(sent: list[Pending]) -> list[Any]:
    return [event.merged_request or event.requests[0] for event in sent]


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
def test_the_same_people_with_fewer_calls(made: list[dict[str, Any]]) -> None:
    single = window(made)
    merged = coalesce(window(made), ENCHARGE.merge)
    assert carry_out(requests(merged)) == carry_out(requests(single))


@patiently
@given(st.lists(EVENTS, max_size=8))
def test_nothing_is_lost_or_overtaken(made: list[dict[str, Any]]) -> None:
    names = [name_of(event) for event in window(made)]
    merged = coalesce(window(made), ENCHARGE.merge)
    assert [name_of(e) for kept in merged for e in (*kept.merged, kept)] == names
    for kept in merged:
        if kept.merged:
            assert kept.merged_request is not None
            told = kept.merged_request.body
            assert told.get("messageId", name_of(kept)) == name_of(kept)


@patiently
@given(st.lists(EVENTS, max_size=8))
def test_the_single_calls_are_left_as_they_were(made: list[dict[str, Any]]) -> None:
    # A merged call that is rejected is taken apart again.
    single = [event.requests[0] for event in window(made)]
    merged = coalesce(window(made), ENCHARGE.merge)
    assert [e.requests[0] for kept in merged for e in (*kept.merged, kept)] == single


def test_identifies_of_one_person_are_merged_at_all() -> None:
    made = [{"type": "identify", "userId": "u1", "traits": {"n": n}} for n in range(5)]
    [kept] = coalesce(window(made), ENCHARGE.merge)
    assert kept.merged_request is not None
    assert kept.merged_request.body["user"] == {"userId": "u1", "n": 4}


def word(name: str, tag: str) -> dict[str, Any]:
    return {"type": "track", "event": name, "userId": "u1", "properties": {"tag": tag}}


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (["+red", "-red"], ["DELETE red"]),
        (["-red", "+red", "-red", "+red"], ["POST red"]),
        (["+red", "+red"], ["POST red"]),
        (["+red", "-red,blue"], ["DELETE red,blue"]),
        (["+red", "-blue"], ["POST red", "DELETE blue"]),
        (["+red,blue", "-red"], ["POST red,blue", "DELETE red"]),
    ],
)
def test_words_on_a_tag_settle_to_the_last(words: list[str], calls: list[str]) -> None:
    names = {"+": "Tagged", "-": "Untagged"}
    made = window([word(names[text[0]], text[1:]) for text in words])
    kept = requests(coalesce(made, ENCHARGE.merge))
    assert [f"{request.method} {request.body['tag']}" for request in kept] == calls


def test_words_on_a_tag_of_different_people_are_all_said() -> None:
    made = window([word("Tagged", "red"), word("Untagged", "red") | {"userId": "u2"}])
    assert len(coalesce(made, ENCHARGE.merge)) == 2
