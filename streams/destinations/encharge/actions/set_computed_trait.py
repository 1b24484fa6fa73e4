"""Set Computed Trait: what an audience or computed trait of Segment Engage says of a person."""

from __future__ import annotations

from typing import Final

from streams.destinations import engage
from streams.destinations.action import Action
from streams.destinations.base import Request
from streams.destinations.encharge.actions.common import (
    ANONYMOUS_ID,
    EMAIL,
    MESSAGE_ID,
    TIMESTAMP,
    USER_ID,
    person_event,
)
from streams.destinations.encharge.api import Api
from streams.mapping.payload import Payload

_SENT: Final = ("email", "segmentAnonymousId", "userId", "timestamp", "messageId")


def _request(api: Api, payload: Payload) -> Request:
    key, value = engage.computed(payload)
    body: Payload = {"type": "identify"}
    body |= {name: payload[name] for name in _SENT if name in payload}
    return api.ingest(person_event({**body, "user": {key: value}}, traits="user"))


SET_COMPUTED_TRAIT: Final = Action(
    slug="setComputedTrait",
    title="Set Computed Trait",
    stream="identify",
    fields={
        **engage.FIELDS,
        "email": EMAIL,
        "segmentAnonymousId": ANONYMOUS_ID,
        "userId": USER_ID,
        "timestamp": TIMESTAMP,
        "messageId": MESSAGE_ID,
    },
    request=_request,
)
