"""What Tag User and Untag User share: the same call of the REST API by another method."""

from __future__ import annotations

from typing import Final

from streams.destinations.base import Request
from streams.destinations.defaults import path
from streams.destinations.encharge.actions.common import ANONYMOUS_ID, EMAIL, USER_ID
from streams.destinations.encharge.api import Api
from streams.errors import PayloadError
from streams.mapping.payload import Field, Payload

TAG_FIELDS: Final = {
    "tag": Field(label="Tag", type="string", required=True, default=path("traits.tag")),
    "email": EMAIL,
    "userId": USER_ID,
    "segmentAnonymousId": ANONYMOUS_ID,
}


def tag_request(api: Api, method: str, payload: Payload) -> Request:
    """The call. Several tags are one string, separated by commas.

    Raises ``PayloadError`` without a tag, or without an id of the person.
    """
    if not any(payload.get(name) for name in ("email", "userId", "segmentAnonymousId")):
        raise PayloadError("one of email, userId and segmentAnonymousId is required")
    if not payload["tag"]:
        raise PayloadError("tag (Tag) is required")
    return api.rest(method, "/v1/tags", payload)
