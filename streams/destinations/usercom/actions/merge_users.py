"""Merge Users: two people are one, under the new id.

``POST users/merge/`` (apidocs.user.com) is the only call for it, and wants User.com's own ids.
"""

from __future__ import annotations

from typing import Final

from streams.destinations.action import Action
from streams.destinations.base import Conversation, Request
from streams.destinations.conversation import Step, Talk
from streams.destinations.defaults import path
from streams.destinations.usercom.account import (
    Account,
    Ignored,
    Part,
    create_person,
    remember_person,
)
from streams.destinations.usercom.api import of_person
from streams.mapping.payload import Field, Payload


def _request(account: Account, payload: Payload) -> Request | Conversation:
    new, old = payload["userId"], payload["previousId"]

    def begin(_: Ignored) -> Talk:
        if new == old:
            return
        parent = yield from create_person(account, new)
        child = yield from _find(account, old)
        # One that is not there is merged already, or was never heard of.
        if child is None or child == parent:
            return
        body = {"parent": parent, "user_list": [child]}
        yield Step(account.api.post("users/merge/", body))
        account.forget(old)

    return Conversation(begin)


def _find(account: Account, custom_id: str) -> Part:
    """The id of a person at User.com; None if there is none."""
    question = account.api.get(of_person(custom_id))
    reply = yield Step(question, frozenset({404}), {"id": f"<id of {custom_id}>"})
    return None if reply.status == 404 else remember_person(account, custom_id, reply)


MERGE_USERS: Final = Action(
    slug="mergeUsers",
    title="Merge Users",
    stream="alias",
    fields={
        "userId": Field(label="User ID", type="string", required=True, default=path("userId")),
        "previousId": Field(
            label="Previous ID", type="string", required=True, default=path("previousId")
        ),
    },
    request=_request,
)
