"""Track Page View: one page view more, when the person was last seen, and which page it was.

The counter can only be written, not added to, so it is read first: others write it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from streams.destinations.action import Action
from streams.destinations.base import Conversation, Request
from streams.destinations.conversation import Reply, Step, Talk
from streams.destinations.defaults import first_of
from streams.destinations.usercom.account import Account, Ignored, Part
from streams.destinations.usercom.actions.common import TIMESTAMP, WHO_FIELDS, who
from streams.destinations.usercom.api import of_person
from streams.destinations.usercom.convert import as_text, moment
from streams.errors import EventError
from streams.mapping.payload import Field, Payload


def _request(account: Account, payload: Payload) -> Request | Conversation:
    custom_id = who(payload)
    at = moment(payload.get("timestamp"))
    view = _view(payload)

    def begin(ignored: Ignored) -> Talk:
        reply = yield _question(account, custom_id)
        if reply.status == 404:
            yield from _count(account, custom_id, {}, at)
            # For the key, by which its page views go.
            reply = yield Step(_question(account, custom_id).request)
            person = _person(reply)
        else:
            person = _person(reply)
            yield from _count(account, custom_id, person, at)
        if view is None or not person.get("user_key"):
            ignored["no-page"] += 1
            return
        stamp = {"timestamp": as_text(at)} if at is not None else {}
        body = {"client_user": person["user_key"], **view, **stamp}
        yield Step(account.api.post("site-views/", body))

    return Conversation(begin)


def _question(account: Account, custom_id: str) -> Step:
    presumed = {"user_key": f"<key of {custom_id}>", "page_views": 0, "last_seen": None}
    return Step(account.api.get(of_person(custom_id)), frozenset({404}), presumed)


def _person(reply: Reply) -> Mapping[str, Any]:
    if not isinstance(reply.data, dict):
        # To count from one again would be to lose the count.
        raise EventError("rejected", f"user.com answered {reply.status} without a person")
    return reply.data


def _count(
    account: Account, custom_id: str, person: Mapping[str, Any], at: datetime | None
) -> Part:
    """Write one page view more, and when; this creates a person that is not there."""
    before = person.get("page_views")
    fields: dict[str, Any] = {"page_views": before + 1 if isinstance(before, int) else 1}
    seen = moment(person.get("last_seen"))
    if at is not None and (seen is None or at > seen):
        fields["last_seen"] = as_text(at)
    yield Step(account.api.upsert_person(custom_id, **fields))


def _view(payload: Payload) -> Mapping[str, str] | None:
    """Which page it was; None if the event does not tell its domain."""
    try:
        url = urlsplit(payload.get("url", ""))
        domain = url.hostname
    except ValueError:
        return None
    if not domain:
        return None
    return {"page_domain": domain, "page_path": payload.get("path") or url.path or "/"}


TRACK_PAGE_VIEW: Final = Action(
    slug="trackPageView",
    title="Track Page View",
    stream="page",
    fields={
        **WHO_FIELDS,
        "url": Field(
            label="URL", type="string", default=first_of("properties.url", "context.page.url")
        ),
        "path": Field(
            label="Path", type="string", default=first_of("properties.path", "context.page.path")
        ),
        "timestamp": TIMESTAMP,
    },
    request=_request,
)
