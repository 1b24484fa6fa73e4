"""What an audience or a computed trait of Segment Engage says of a person, as a track event.

As identify it is a trait like any other. As track, Engage sends "Audience Entered" and "Audience
Exited" with ``audience_key`` and, under that name, true or false; "Trait Computed" with
``trait_key`` and the value ("Using Engage Data" of segmentio/segment-docs).
``context.personas.computation_key`` is the same name.
"""

from __future__ import annotations

import re
from typing import Any, Final

from streams.destinations.defaults import first_of, path
from streams.errors import PayloadError
from streams.mapping.payload import Field, Payload

TRIGGER: Final = (
    'type = "track" and (event = "Audience Entered" or event = "Audience Exited" '
    'or event = "Trait Computed")'
)

FIELDS: Final = {
    "key": Field(
        label="Key",
        type="string",
        required=True,
        default=first_of(
            "properties.audience_key", "properties.trait_key", "context.personas.computation_key"
        ),
    ),
    "event": Field(label="Event Name", type="string", default=path("event")),
    "properties": Field(label="Properties", type="object", default=path("properties")),
}

_MEMBERSHIP: Final = {"Audience Entered": True, "Audience Exited": False}
_WORDS: Final = re.compile(r"[^0-9A-Za-z]+")


def snake_case(name: str) -> str:
    """A name as Segment writes it as a key: ``Big Spenders`` is ``big_spenders``."""
    return _WORDS.sub("_", name).strip("_").lower()


def computed(payload: Payload) -> tuple[str, Any]:
    """The property that is set, and its value. Raises ``PayloadError`` if it has none."""
    key = payload["key"]
    value = payload.get("properties", {}).get(key, _MEMBERSHIP.get(payload.get("event", "")))
    if value is None:
        raise PayloadError(f"properties (Properties) has no value of {key}")
    return snake_case(key), value
