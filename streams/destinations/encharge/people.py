"""Several identifies as one call of the people API.

``POST /v1/people`` takes an array of people, found by id, userId or email, and upserts them field
by field, as an identify does (docs.encharge.io, REST API). What it is not documented to do goes
through the Ingest API, one by one:

* a person known by an anonymous id only: the people API finds nobody by it;
* ``tags``, which the Ingest API adds to those there are, and ``ip``, from which it tells country
  and timezone (docs.encharge.io, Ingest API);
* nested objects: there is no field of such a type;
* what a context says beyond the visit: where the person lives, which group it belongs to.

The rest of a context (IP, user agent, page, campaign) is of one visit; so are its timestamp and
messageId. They are no part of a person, and the visit's other events carry them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from streams.destinations.base import Request
from streams.destinations.encharge.api import Api

_IDS: Final = ("userId", "email", "segmentAnonymousId")
_BODY: Final = frozenset({"type", "user", "context", "timestamp", "messageId", *_IDS})
_VISIT: Final = frozenset({"ip", "userAgent", "page", "campaign"})
_INGEST_ONLY: Final = frozenset({"id", "ip", "tags"})


def person(request: Request) -> Mapping[str, Any] | None:
    """The person that an identify leaves behind; None if only the Ingest API can tell."""
    body = request.body
    if request.method != "POST" or type(body) is not dict or body.get("type") != "identify":
        return None
    user = body["user"]
    if not (
        body.keys() <= _BODY
        and not any(said and part not in _VISIT for part, said in body.get("context", {}).items())
        and user.keys().isdisjoint(_INGEST_ONLY)
        and not any(map(_is_nested, user.values()))
    ):
        return None
    ids = {}
    for name in _IDS:
        # Beside the user, and as a trait of that name: which of two would count is not said.
        given = [place[name] for place in (body, user) if name in place]
        if given:
            value = given[0]
            if type(value) is not str or not value or given[-1] != value:
                return None
            ids[name] = value
    if "userId" not in ids and "email" not in ids:
        return None
    return {**user, **ids}


def people(api: Api, persons: Sequence[Mapping[str, Any]]) -> Request:
    """The call for several people."""
    return api.rest("POST", "/v1/people", list(persons))


def _is_nested(value: Any) -> bool:
    return type(value) is dict or (type(value) is list and any(map(_is_nested, value)))
