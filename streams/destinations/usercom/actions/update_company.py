"""Update Company: create or update a company, and associate a person with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.destinations.action import Action
from streams.destinations.base import Conversation, Request
from streams.destinations.conversation import Step, Talk
from streams.destinations.defaults import path
from streams.destinations.usercom.account import (
    Account,
    Ignored,
    Part,
    id_of,
    person_call,
    send_with_attributes,
)
from streams.destinations.usercom.actions.common import WHO_FIELDS, pick, text, who
from streams.destinations.usercom.api import segment
from streams.destinations.usercom.definitions import COMPANY
from streams.mapping.payload import Field, Payload

_TEXTS: Final[Mapping[str, str]] = {
    "name": "name",
    "email": "email",
    "phone": "phone",
    "description": "description",
}

_ADDRESS: Final = ("street", "postalCode", "postal_code", "city", "region", "state", "country")

_MAPPED: Final = frozenset({*_TEXTS, "address", "employees"})

_OWN: Final = frozenset({"id", "custom_id", "company_id", "members", "created_at", "updated_at"})
"""What a trait may not set: it says which company it is."""


def _request(account: Account, payload: Payload) -> Request | Conversation:
    group, custom_id = payload["groupId"], who(payload)
    traits = payload.get("traits", {})
    left_out = Ignored()
    fields = _profile(traits, left_out)
    custom = {k: v for k, v in traits.items() if k not in _MAPPED | _OWN}
    left_out["own-field"] += len(_OWN & traits.keys())

    def begin(ignored: Ignored) -> Talk:
        ignored.update(+left_out)
        is_remembered = account.companies.get(group) is not None
        company = yield from _company(account, group, fields, custom, ignored)
        is_member = yield from _associate(
            account, company, custom_id, is_surely_there=not is_remembered
        )
        if not is_member:
            # It was removed since.
            account.companies.forget(group)
            company = yield from _company(account, group, fields, custom, Ignored())
            yield from _associate(account, company, custom_id)

    return Conversation(begin)


def _associate(
    account: Account, company: int, custom_id: str, *, is_surely_there: bool = True
) -> Part:
    """Make a person a member. False: there is no such company."""
    body = {"user_custom_id": custom_id}
    request = account.api.post(f"companies/{company}/add_member/", body)
    accepts = frozenset() if is_surely_there else frozenset({404})
    reply = yield from person_call(account, custom_id, request, accepts=accepts)
    return bool(reply.status != 404)


def _company(
    account: Account,
    group: str,
    fields: Mapping[str, Any],
    custom: Mapping[str, Any],
    ignored: Ignored,
) -> Part:
    """The id of the company, updated or created."""
    known = account.companies.get(group) or (yield from _find(account, group))
    if known is not None:
        if not fields and not custom:
            return known
        reply = yield from send_with_attributes(
            account,
            COMPANY,
            custom,
            lambda found: account.api.put(f"companies/{known}/", {**found, **fields}),
            ignored,
            accepts=frozenset({404}),
        )
        if reply.status != 404:
            return known
        # It was removed.
        account.companies.forget(group)
    # A company has a name, whatever is said of it.
    named = {"name": group, **fields, "custom_id": group}
    reply = yield from send_with_attributes(
        account,
        COMPANY,
        custom,
        lambda found: account.api.post("companies/", {**found, **named}),
        ignored,
        presumed={"id": f"<id of {group}>"},
    )
    found = id_of(reply, "company")
    account.companies.put(group, found)
    return found


def _find(account: Account, group: str) -> Part:
    """The id of a company at User.com; None if there is none."""
    question = account.api.get(f"companies-by-id/{segment(group)}/")
    reply = yield Step(question, frozenset({404}), {"id": f"<id of {group}>"})
    if reply.status == 404:
        return None
    found = id_of(reply, "company")
    account.companies.put(group, found)
    return found


def _profile(traits: Mapping[str, Any], left_out: Ignored) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for field, name in _TEXTS.items():
        value = text(traits.get(name))
        if value is not None:
            fields[field] = value
    address = traits.get("address")
    if isinstance(address, Mapping):
        # One text: a company has one field for it.
        parts = [text(pick(address, name)) for name in _ADDRESS]
        address = ", ".join(dict.fromkeys(part for part in parts if part))
    if address := text(address):
        fields["address"] = address
    employees = text(traits.get("employees"))
    if employees is not None and employees.strip().isdigit():
        fields["employees"] = int(employees)
    elif employees is not None:
        left_out["not-employees"] += 1
    return fields


UPDATE_COMPANY: Final = Action(
    slug="updateCompany",
    title="Update Company",
    stream="group",
    fields={
        **WHO_FIELDS,
        "groupId": Field(label="Group ID", type="string", required=True, default=path("groupId")),
        "traits": Field(label="Traits", type="object", default=path("traits")),
    },
    request=_request,
)
