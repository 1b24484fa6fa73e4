"""Set Computed Trait: what an audience or computed trait of Segment Engage says of a person.

Engage sends "Audience Entered" and "Audience Exited" with ``audience_key`` and, under that name,
true or false; "Trait Computed" with ``trait_key`` and the value ("Using Engage Data" of
segmentio/segment-docs). ``context.personas.computation_key`` is the same name.
"""

from __future__ import annotations

import re
from typing import Final

from streams.destinations.action import Action
from streams.destinations.base import Conversation, Request
from streams.destinations.defaults import first_of, path
from streams.destinations.usercom.account import Account, Ignored
from streams.destinations.usercom.actions.common import WHO_FIELDS, who
from streams.destinations.usercom.actions.identify_user import Person, update
from streams.errors import PayloadError
from streams.mapping.payload import Field, Payload

_MEMBERSHIP: Final = {"Audience Entered": True, "Audience Exited": False}
_WORDS: Final = re.compile(r"[^0-9A-Za-z]+")


def snake_case(name: str) -> str:
    """A name as Segment writes it as a key: ``Big Spenders`` is ``big_spenders``."""
    return _WORDS.sub("_", name).strip("_").lower()


def _request(account: Account, payload: Payload) -> Request | Conversation:
    key, properties = payload["key"], payload.get("properties", {})
    value = properties.get(key, _MEMBERSHIP.get(payload.get("event", "")))
    if value is None:
        raise PayloadError(f"properties (Properties) has no value of {key}")
    return update(account, Person(who(payload), {}, {snake_case(key): value}, Ignored()))


SET_COMPUTED_TRAIT: Final = Action(
    slug="setComputedTrait",
    title="Set Computed Trait",
    stream="identify",
    fields={
        **WHO_FIELDS,
        "key": Field(
            label="Key",
            type="string",
            required=True,
            default=first_of(
                "properties.audience_key",
                "properties.trait_key",
                "context.personas.computation_key",
            ),
        ),
        "event": Field(label="Event Name", type="string", default=path("event")),
        "properties": Field(label="Properties", type="object", default=path("properties")),
    },
    request=_request,
)
