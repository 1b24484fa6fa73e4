"""Track Event: something that a known or anonymous person did."""

from __future__ import annotations

from typing import Final

from streams.destinations.action import Action
from streams.destinations.base import Request
from streams.destinations.defaults import path
from streams.destinations.encharge.actions.common import (
    PERSON_EVENT_FIELDS,
    USER_FIELDS,
    person_event,
)
from streams.destinations.encharge.api import Api
from streams.mapping.payload import Field, Payload


def _request(api: Api, payload: Payload) -> Request:
    return api.ingest(person_event(payload, traits="userFields"))


TRACK_EVENT: Final = Action(
    slug="trackEvent",
    title="Track Event",
    stream="track",
    fields={
        "event": Field(label="Event Name", type="string", required=True, default=path("event")),
        "properties": Field(label="Event Properties", type="object", default=path("properties")),
        "userFields": USER_FIELDS,
        **PERSON_EVENT_FIELDS,
    },
    request=_request,
)
