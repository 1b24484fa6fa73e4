"""Alias User: give a person another user id."""

from __future__ import annotations

from typing import Final

from streams.destinations.action import Action
from streams.destinations.base import Request
from streams.destinations.defaults import path
from streams.destinations.encharge.actions.common import MESSAGE_ID, TIMESTAMP
from streams.destinations.encharge.api import Api
from streams.mapping.payload import Field, Payload


def _request(api: Api, payload: Payload) -> Request:
    return api.ingest({**payload, "type": "alias"})


ALIAS_USER: Final = Action(
    slug="aliasUser",
    title="Alias User",
    stream="alias",
    fields={
        "userId": Field(label="User ID", type="string", required=True, default=path("userId")),
        "previousUserId": Field(
            label="Previous User ID", type="string", required=True, default=path("previousId")
        ),
        "timestamp": TIMESTAMP,
        "messageId": MESSAGE_ID,
    },
    request=_request,
)
