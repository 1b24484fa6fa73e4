"""Erasing a person: `destinations/encharge/deleteUser.ts` of segmentio/action-destinations."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from streams.destinations.base import Request
from streams.destinations.encharge.api import Api
from streams.errors import PayloadError
from streams.events import Event
from streams.mapping.javascript import is_truthy, to_string

# What a URL's query shows as it is (url.spec.whatwg.org, "special-query percent-encode set"),
# but for "#", "%", "&" and "+". Segment leaves these too, and so asks for another person.
_VERBATIM: Final = "!$()*,-./:;=?@[\\]^_`{|}~"


def deletion(api: Api, event: Event) -> Request:
    """The request that erases the person of ``event``: by userId, else by anonymousId.

    Raises ``PayloadError`` if the event has neither.
    """
    for key, field in (("userId", "userId"), ("anonymousId", "segmentAnonymousId")):
        value = event.get(key)
        if is_truthy(value):
            return api.rest("DELETE", f"/v1/people?people[0][{field}]={_query_value(value)}")
    raise PayloadError("userId or anonymousId is required to delete a person")


def _query_value(value: Any) -> str:
    # A URL loses the blanks at its end, and its tabs and line ends anywhere.
    text = to_string(value).rstrip("".join(map(chr, range(33))))
    text = text.translate({ord(char): None for char in "\t\n\r"})
    return quote(text, safe=_VERBATIM, errors="replace")
