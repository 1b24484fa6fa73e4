"""What several actions share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.destinations.defaults import path
from streams.errors import PayloadError
from streams.mapping.payload import Field, Payload

WHO_FIELDS: Final = {
    "userId": Field(label="User ID", type="string", default=path("userId")),
    "anonymousId": Field(label="Anonymous ID", type="string", default=path("anonymousId")),
}
"""Who it is about: by userId, else by anonymousId (Segment's page about User.com)."""

TIMESTAMP: Final = Field(
    label="Timestamp", type="string", format="date-time", default=path("timestamp")
)


def who(payload: Payload) -> str:
    """The id that selects a person. Raises ``PayloadError`` if there is none."""
    found = payload.get("userId") or payload.get("anonymousId")
    if not found:
        raise PayloadError("one of userId (User ID) and anonymousId (Anonymous ID) is required")
    return str(found)


def pick(traits: Mapping[str, Any], *names: str) -> Any:
    """The first of several traits that is there and says something."""
    return next((traits[name] for name in names if traits.get(name) not in (None, "")), None)


def text(value: Any) -> str | None:
    """A text, also of a number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        return None
    return str(value)
