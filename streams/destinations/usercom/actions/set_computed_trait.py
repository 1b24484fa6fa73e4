"""Set Computed Trait: what an audience or computed trait of Segment Engage says of a person."""

from __future__ import annotations

from typing import Final

from streams.destinations import engage
from streams.destinations.action import Action
from streams.destinations.base import Conversation, Request
from streams.destinations.usercom.account import Account, Ignored
from streams.destinations.usercom.actions.common import WHO_FIELDS, who
from streams.destinations.usercom.actions.identify_user import Person, update
from streams.mapping.payload import Payload


def _request(account: Account, payload: Payload) -> Request | Conversation:
    key, value = engage.computed(payload)
    return update(account, Person(who(payload), {}, {key: value}, Ignored()))


SET_COMPUTED_TRAIT: Final = Action(
    slug="setComputedTrait",
    title="Set Computed Trait",
    stream="identify",
    fields={**WHO_FIELDS, **engage.FIELDS},
    request=_request,
)
