"""Track Event: an occurrence of an event."""

from __future__ import annotations

from typing import Any, Final

from streams.destinations.action import Action
from streams.destinations.base import Conversation, Request
from streams.destinations.conversation import Talk
from streams.destinations.defaults import path
from streams.destinations.usercom.account import Account, Ignored, event_data, person_call
from streams.destinations.usercom.actions.common import TIMESTAMP, WHO_FIELDS, who
from streams.destinations.usercom.api import of_person
from streams.destinations.usercom.convert import moment
from streams.mapping.payload import Field, Payload


def _request(account: Account, payload: Payload) -> Request | Conversation:
    custom_id = who(payload)
    body: dict[str, Any] = {"name": payload["event"]}
    at = moment(payload.get("timestamp"))
    if at is not None:
        body["timestamp"] = int(at.timestamp())

    def begin(ignored: Ignored) -> Talk:
        data = yield from event_data(account, payload.get("properties", {}), ignored)
        request = account.api.post(of_person(custom_id, "events/"), {**body, "data": data})
        yield from person_call(account, custom_id, request)

    return Conversation(begin)


TRACK_EVENT: Final = Action(
    slug="trackEvent",
    title="Track Event",
    stream="track",
    fields={
        **WHO_FIELDS,
        "event": Field(label="Event Name", type="string", required=True, default=path("event")),
        "properties": Field(label="Event Properties", type="object", default=path("properties")),
        "timestamp": TIMESTAMP,
    },
    request=_request,
)
