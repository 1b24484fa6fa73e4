"""Create or Update Object: a company, or another object, and its tie to a person."""

from __future__ import annotations

from typing import Any, Final

from streams.destinations.action import Action
from streams.destinations.base import Request
from streams.destinations.defaults import path
from streams.destinations.encharge.actions.common import USER_ID
from streams.destinations.encharge.api import Api
from streams.mapping.payload import Field, Payload

_OBJECT_IDS: Final = ("externalId", "id")
_USER_IDS: Final = ("email", "userId")


def _request(api: Api, payload: Payload) -> Request:
    # The object's ids come from their own fields only, even where these are absent.
    properties: dict[str, Any] = {**payload.get("objectData", {})}
    for name in _OBJECT_IDS:
        properties.pop(name, None)
        if name in payload:
            properties[name] = payload[name]
    return api.ingest(
        {
            "type": "group",
            "objectType": payload["objectType"],
            "properties": properties,
            "user": {name: payload[name] for name in _USER_IDS if name in payload},
        }
    )


CREATE_OR_UPDATE_OBJECT: Final = Action(
    slug="createUpdateObject",
    title="Create or Update Object",
    stream="group",
    fields={
        "objectType": Field(label="Object Type", type="string", required=True, default="company"),
        "externalId": Field(label="External Object ID", type="string", default=path("groupId")),
        "id": Field(label="Object ID", type="string"),
        "objectData": Field(label="Object Fields", type="object", default=path("traits")),
        "userId": USER_ID,
        "email": Field(label="Email", type="string", default=path("email")),
    },
    request=_request,
)
