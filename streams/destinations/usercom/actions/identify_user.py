"""Update User: create or update a person, with traits and what the context tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.destinations.action import Action
from streams.destinations.base import Conversation, Request
from streams.destinations.conversation import Talk
from streams.destinations.defaults import path
from streams.destinations.usercom.account import (
    Account,
    Ignored,
    remember_person,
    send_with_attributes,
)
from streams.destinations.usercom.actions.common import WHO_FIELDS, pick, text, who
from streams.destinations.usercom.definitions import PERSON
from streams.destinations.usercom.device import device_fields
from streams.mapping.payload import Field, Payload

MAX_NAME: Final = 40
"""Characters of a first or last name (apidocs.user.com)."""

_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("email",),
    "first_name": ("first_name", "firstName"),
    "last_name": ("last_name", "lastName"),
    "phone_number": ("phone",),
}

_GENDERS: Final[Mapping[str, int]] = {
    "unknown": 1,
    "u": 1,
    "1": 1,
    "male": 2,
    "m": 2,
    "2": 2,
    "female": 3,
    "f": 3,
    "3": 3,
}
"""The API's codes (destinations/user of rudderlabs/rudder-transformer)."""

_ADDRESS: Final[Mapping[str, tuple[str, ...]]] = {
    "country": ("country",),
    "region": ("region", "state"),
    "city": ("city",),
}

_MAPPED: Final = frozenset(
    {"gender", "address", *(name for names in _TEXTS.values() for name in names)}
)

_OWN: Final = frozenset(
    {
        "id", "key", "user_key", "custom_id", "user_id", "company", "company_id",
        "company_custom_id", "phone_number", "country", "region", "city", "page_views",
        "last_seen", "first_seen", "created_at", "updated_at", "user_agent", "os", "device_name",
        "device_type", "language", "resolution", "ip_address", "browser_family",
        "browser_version", "timezone", "current_url", "status", "score", "tags", "lists",
        "assigned_to", "unsubscribed", "notifications", "gravatar_url", "facebook_url",
        "google_url", "linkedin_url", "twitter_url",
    }
)  # fmt: skip
"""Fields of a profile: a trait of such a name would set the field, so none is sent by it."""


@dataclass(frozen=True, slots=True)
class Person:
    """What is to be said of a person: fields of the profile, and custom attributes."""

    custom_id: str
    fields: Mapping[str, Any]
    traits: Mapping[str, Any]
    left_out: Ignored

    def then(self, later: Person) -> Person | None:
        """Both in one, field by field the last word; None if that may leave another person.

        An email may select a person. Of two values of an attribute, the later may be one that
        cannot be converted, and then the earlier counts.
        """
        emails = {p.fields["email"] for p in (self, later) if "email" in p.fields}
        if self.custom_id != later.custom_id or len(emails) > 1:
            return None
        if any(later.traits.get(name, value) != value for name, value in self.traits.items()):
            return None
        return Person(
            self.custom_id,
            {**self.fields, **later.fields},
            {**self.traits, **later.traits},
            self.left_out + later.left_out,
        )


def update(account: Account, person: Person) -> Conversation:
    """The conversation that creates or updates a person."""

    def begin(ignored: Ignored) -> Talk:
        ignored.update(person.left_out)
        reply = yield from send_with_attributes(
            account,
            PERSON,
            person.traits,
            # A field of the profile counts before an attribute of its name.
            lambda found: account.api.upsert_person(person.custom_id, **{**found, **person.fields}),
            ignored,
            presumed={"id": f"<id of {person.custom_id}>"},
        )
        remember_person(account, person.custom_id, reply)

    return Conversation(begin, about=person)


def _request(account: Account, payload: Payload) -> Request | Conversation:
    traits = payload.get("traits", {})
    left_out = Ignored()
    fields = {**device_fields(payload.get("context", {})), **_profile(traits, left_out)}
    custom = {}
    for name, value in traits.items():
        if name in _OWN:
            left_out["own-field"] += 1
        elif name not in _MAPPED:
            custom[name] = value
    return update(account, Person(who(payload), fields, custom, left_out))


def _profile(traits: Mapping[str, Any], left_out: Ignored) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for field, names in _TEXTS.items():
        value = text(pick(traits, *names))
        if value is not None:
            fields[field] = value[:MAX_NAME] if field.endswith("_name") else value
    gender = pick(traits, "gender")
    if gender is not None:
        code = _GENDERS.get(str(gender).strip().lower())
        if code is None:
            left_out["not-gender"] += 1
        else:
            fields["gender"] = code
    address = traits.get("address")
    if isinstance(address, Mapping):
        for field, names in _ADDRESS.items():
            value = text(pick(address, *names))
            if value is not None:
                fields[field] = value
    return fields


IDENTIFY_USER: Final = Action(
    slug="identifyUser",
    title="Update User",
    stream="identify",
    fields={
        **WHO_FIELDS,
        "traits": Field(label="Traits", type="object", default=path("traits")),
        "context": Field(label="Context", type="object", default=path("context")),
    },
    request=_request,
)
