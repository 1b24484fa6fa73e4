"""What several actions share: `encharge/common-definitions.ts` of segmentio/action-destinations."""

from __future__ import annotations

from typing import Any, Final

from streams.destinations.defaults import first_of, path
from streams.mapping.payload import Field, Payload


def _part_of_context(name: str, properties: dict[str, str]) -> Field:
    """A field for an object under ``context``, of which only ``properties`` are known."""
    return Field(
        label=name.capitalize(),
        type="object",
        within="context",
        properties={key: Field(label=label, type="string") for key, label in properties.items()},
        default={key: path(f"context.{name}.{key}") for key in properties},
    )


EMAIL: Final = Field(
    label="Email",
    type="string",
    default=first_of("email", "traits.email", "context.traits.email", "properties.email"),
)
ANONYMOUS_ID: Final = Field(label="Anonymous ID", type="string", default=path("anonymousId"))
USER_ID: Final = Field(label="User ID", type="string", default=path("userId"))
TIMESTAMP: Final = Field(
    label="Timestamp", type="string", format="date-time", default=path("timestamp")
)
MESSAGE_ID: Final = Field(label="MessageId", type="string", default=path("messageId"))
USER_FIELDS: Final = Field(label="User Fields", type="object", default=path("context.traits"))

PERSON_EVENT_FIELDS: Final = {
    "type": Field(label="Type", type="string", required=True, default=path("type")),
    "email": EMAIL,
    "segmentAnonymousId": ANONYMOUS_ID,
    "userId": USER_ID,
    "groupId": Field(
        label="Group ID", type="string", within="context", default=path("context.groupId")
    ),
    "timestamp": TIMESTAMP,
    "messageId": MESSAGE_ID,
    "ip": Field(label="IP Address", type="string", within="context", default=path("context.ip")),
    "userAgent": Field(
        label="User Agent", type="string", within="context", default=path("context.userAgent")
    ),
    "campaign": _part_of_context(
        "campaign",
        {
            "name": "Name",
            "source": "Source",
            "medium": "Medium",
            "term": "Term",
            "content": "Content",
        },
    ),
    "page": _part_of_context(
        "page",
        {
            "url": "URL",
            "title": "Title",
            "referrer": "Referrer",
            "path": "Path",
            "search": "Search",
        },
    ),
    "location": _part_of_context(
        "location", {"city": "City", "region": "Region", "country": "Country"}
    ),
}
"""The fields that identify, track and page have in common."""


def person_event(payload: Payload, *, traits: str) -> dict[str, Any]:
    """The body of an event about a person, whose traits are under ``traits`` in the payload.

    The ids are on the body and on ``user``, where a trait of the same name replaces them. The
    payload becomes the body.
    """
    # One by one: this runs for nearly every event, and a loop takes twice as long.
    user: dict[str, Any] = {}
    if "email" in payload:
        user["email"] = payload["email"]
    if "userId" in payload:
        user["userId"] = payload["userId"]
    if "segmentAnonymousId" in payload:
        user["segmentAnonymousId"] = payload["segmentAnonymousId"]
    if traits in payload:
        user.update(payload[traits])
    payload["user"] = user
    return payload
