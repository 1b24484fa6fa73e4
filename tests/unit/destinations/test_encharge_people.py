"""Which identifies can go as a person in an array, and as what."""

from __future__ import annotations

from typing import Any

import pytest

from streams.destinations.base import Request
from streams.destinations.encharge import Encharge

ENCHARGE = Encharge(api_key="api", write_key="write", api_url="http://api", ingest_url="http://in")


def mapped(**event: Any) -> Request:
    event = {"type": "identify", "messageId": "m", "timestamp": "2026-11-02T08:00:00Z", **event}
    [request] = [s.build(event) for s in ENCHARGE.candidates(event["type"]) if s.matches(event)]
    return request


def part(**event: Any) -> Any:
    return ENCHARGE.part(mapped(**event))


def test_a_person_is_its_traits_and_its_ids() -> None:
    assert part(
        userId="u",
        anonymousId="a",
        traits={"email": "u@example.com", "plan": None, "roles": ["x"], "n": 1},
    ) == {
        "userId": "u",
        "segmentAnonymousId": "a",
        "email": "u@example.com",
        "plan": None,
        "roles": ["x"],
        "n": 1,
    }
    assert part(email="u@example.com", anonymousId="a") == {
        "email": "u@example.com",
        "segmentAnonymousId": "a",
    }


def test_what_a_context_says_of_the_visit_is_no_part_of_a_person() -> None:
    context = {
        "ip": "203.0.113.7",
        "userAgent": "x",
        "page": {"url": "/"},
        "campaign": {"name": "c"},
    }
    assert part(userId="u", context=context) == {"userId": "u"}


@pytest.mark.parametrize(
    "event",
    [
        {"anonymousId": "a"},
        {"userId": "u", "traits": {"tags": "one"}},
        {"userId": "u", "traits": {"ip": "203.0.113.7"}},
        {"userId": "u", "traits": {"id": "x"}},
        {"userId": "u", "traits": {"address": {"city": "Sofia"}}},
        {"userId": "u", "traits": {"pets": [{"name": "Rex"}]}},
        {"userId": "u", "traits": {"userId": "other"}},
        {"userId": "u", "traits": {"userId": None}},
        {"userId": "u", "traits": {"email": ""}},
        {"userId": "u", "traits": {"email": ["x"]}},
        {"userId": "u", "email": "1@example.com", "traits": {"email": "2@example.com"}},
        {"userId": "u", "traits": {"segmentAnonymousId": 7}},
        {"userId": "u", "context": {"groupId": "g"}},
        {"userId": "u", "context": {"location": {"city": "Sofia"}}},
    ],
    ids=str,
)
def test_what_only_the_ingest_api_is_documented_to_do_goes_through_it(event: Any) -> None:
    assert part(**event) is None


@pytest.mark.parametrize(
    "event",
    [
        {"type": "track", "event": "E", "userId": "u"},
        {"type": "page", "userId": "u"},
        {"type": "group", "groupId": "g", "userId": "u"},
        {"type": "alias", "userId": "u", "previousId": "p"},
    ],
    ids=lambda event: event["type"],
)
def test_nothing_but_an_identify_is_a_person(event: Any) -> None:
    assert part(**event) is None


def test_a_deletion_is_no_person() -> None:
    assert ENCHARGE.part(ENCHARGE.delete({"userId": "u"})) is None


def test_a_call_for_several_people_is_an_array_for_the_people_api() -> None:
    request = ENCHARGE.bulk([{"userId": "u"}, {"userId": "v"}])
    assert (request.method, request.url) == ("POST", "http://api/v1/people")
    assert request.headers["X-Encharge-Token"] == "api"
    assert request.body == [{"userId": "u"}, {"userId": "v"}]


def test_the_identify_itself_is_left_as_it_is() -> None:
    request = mapped(userId="u", traits={"n": 1})
    before = repr(request)
    ENCHARGE.part(request)
    assert repr(request) == before
