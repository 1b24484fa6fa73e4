"""Untag User: take tags from a person."""

from __future__ import annotations

from typing import Final

from streams.destinations.action import Action
from streams.destinations.base import Request
from streams.destinations.encharge.actions.tags import TAG_FIELDS, tag_request
from streams.destinations.encharge.api import Api
from streams.mapping.payload import Payload


def _request(api: Api, payload: Payload) -> Request:
    return tag_request(api, "DELETE", payload)


UNTAG_USER: Final = Action(
    slug="removeTag", title="Untag User", stream="untag", fields=TAG_FIELDS, request=_request
)
