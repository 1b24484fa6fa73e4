"""Identify User: upsert a person with traits."""

from __future__ import annotations

from typing import Final

from streams.destinations.action import Action
from streams.destinations.base import Request
from streams.destinations.defaults import path
from streams.destinations.encharge.actions.common import PERSON_EVENT_FIELDS, person_event
from streams.destinations.encharge.api import Api
from streams.mapping.payload import Field, Payload


def _request(api: Api, payload: Payload) -> Request:
    return api.ingest(person_event(payload, traits="user"))


IDENTIFY_USER: Final = Action(
    slug="identifyUser",
    title="Identify User",
    stream="identify",
    fields={
        "user": Field(label="User Fields", type="object", default=path("traits")),
        **PERSON_EVENT_FIELDS,
    },
    request=_request,
)
