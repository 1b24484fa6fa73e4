"""User.com's public REST API: what is asked for, what is refused, what changes.

Paths, bodies and codes are those of apidocs.user.com, version 2. Two things are the stand-in's
choice, because the two copies of that documentation disagree or are silent: a custom attribute
has to be defined before it is sent, and its value has to be of its type in JSON too (else 400);
a property of an event is made with the event, of the type of its first value, and is listed with
``content_type`` "event".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streams.dev.standin.log import Call
from streams.dev.standin.refusal import Refusal
from streams.dev.usercom.account import CONTENT_TYPES, VALUE_TYPES, Company, StandIn, kind_of

BASE = "/api/public/"
PAGE = 100

Answer = tuple[int, Any]
"""Status and what is the JSON of the body; None for an empty one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: ``names`` are the variable parts of its path."""

    names: Mapping[str, str]
    query: Mapping[str, str]
    body: Any

    def object(self) -> dict[str, Any]:
        """The body. Raises ``Refusal`` 400 if it is no object."""
        if not isinstance(self.body, dict):
            raise Refusal(400, "The body must be a JSON object")
        return self.body


Operation = Callable[[StandIn, Asked, Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint; ``type`` is its name in the request log and in fault plans."""

    method: str
    path: str
    operation: Operation
    type: str

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The variable parts of the path, if it is this one's; they may be percent-encoded."""
        if method != self.method:
            return None
        pattern = re.sub(
            r"\{(\w+)\}",
            r"(?P<\1>[^/]+)",
            re.escape(self.path).replace(r"\{", "{").replace(r"\}", "}"),
        )
        found = re.fullmatch(pattern, path)
        return found.groupdict() if found is not None else None


def _upsert(state: StandIn, asked: Asked, call: Call) -> Answer:
    body = asked.object()
    custom_id = body.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        raise Refusal(400, "custom_id must be text")
    known = custom_id in state.people
    person, created = state.upsert(custom_id)
    try:
        state.write("clientuser", person, body)
    except Refusal:
        if not known:
            del state.people[custom_id]
        raise
    state.log.take_effect(call)
    return 200, {"created": created, "id": person.id}


def _read(state: StandIn, asked: Asked, call: Call) -> Answer:
    person = state.person(asked.names["id"])
    state.log.take_effect(call)
    return 200, person.as_json()


def _delete(state: StandIn, asked: Asked, call: Call) -> Answer:
    del state.people[state.person(asked.names["id"]).custom_id]
    state.log.take_effect(call)
    return 204, None


def _event(state: StandIn, asked: Asked, call: Call) -> Answer:
    person, body = state.person(asked.names["id"]), asked.object()
    name, data = body.get("name"), body.get("data", {})
    if not isinstance(name, str) or not name or not isinstance(data, dict):
        raise Refusal(400, "An event needs a name, and data must be an object")
    if not isinstance(body.get("timestamp"), int | None):
        raise Refusal(400, "timestamp must be Unix seconds")
    for key, value in data.items():
        if ("event", key) not in state.attributes:
            state.define("event", key, kind_of(value))
        state.check_attribute("event", key, value)
    known = any(event["name"] == name for one in state.people.values() for event in one.events)
    person.events.append(body)
    state.log.take_effect(call)
    return 201, {"id": state.new_id(), "created": not known}


def _view(state: StandIn, asked: Asked, call: Call) -> Answer:
    body = asked.object()
    person = state.person_by("key", body.get("client_user"))
    if not body.get("page_domain") or not body.get("page_path"):
        raise Refusal(400, "page_domain and page_path are required")
    person.views.append(body)
    state.log.take_effect(call)
    return 201, {"id": state.new_id()}


def _merge(state: StandIn, asked: Asked, call: Call) -> Answer:
    body = asked.object()
    parent = state.person_by("id", body.get("parent"))
    children = [state.person_by("id", each) for each in body.get("user_list") or []]
    for child in children:
        state.merge(parent, child)
    state.log.take_effect(call)
    return 200, {"success": True}


def _find_company(state: StandIn, asked: Asked, call: Call) -> Answer:
    company = state.companies.get(asked.names["id"])
    if company is None:
        raise Refusal(404, "Not found.")
    state.log.take_effect(call)
    return 200, company.as_json()


def _make_company(state: StandIn, asked: Asked, call: Call) -> Answer:
    body = asked.object()
    custom_id = body.get("custom_id")
    if not isinstance(custom_id, str) or not body.get("name"):
        raise Refusal(400, "custom_id and name are required")
    if custom_id in state.companies:
        raise Refusal(400, "A company with this custom_id exists")
    company = Company(state.new_id(), custom_id)
    state.write("company", company, body)
    state.companies[custom_id] = company
    state.log.take_effect(call)
    return 201, company.as_json()


def _company(state: StandIn, asked: Asked) -> Company:
    for company in state.companies.values():
        if str(company.id) == asked.names["id"]:
            return company
    raise Refusal(404, "Not found.")


def _change_company(state: StandIn, asked: Asked, call: Call) -> Answer:
    company = _company(state, asked)
    state.write("company", company, asked.object())
    state.log.take_effect(call)
    return 200, company.as_json()


def _add_member(state: StandIn, asked: Asked, call: Call) -> Answer:
    company = _company(state, asked)
    person = state.person(asked.object().get("user_custom_id", ""))
    if person.custom_id not in company.members:
        company.members.append(person.custom_id)
        person.companies.append(company.custom_id)
    state.log.take_effect(call)
    return 200, {"success": True}


def _define(state: StandIn, asked: Asked, call: Call) -> Answer:
    body = asked.object()
    of, name, kind = body.get("content_type"), body.get("name"), body.get("value_type")
    if of not in CONTENT_TYPES or kind not in VALUE_TYPES:
        raise Refusal(400, "content_type or value_type is wrong")
    if not isinstance(name, str) or not 1 <= len(name) <= 32:
        raise Refusal(400, "name must have 1 to 32 characters")
    if (of, name) in state.attributes:
        raise Refusal(400, "An attribute of this name exists")
    if kind == "fixed" and not isinstance(body.get("choices"), list):
        raise Refusal(400, "choices are required")
    state.log.take_effect(call)
    return 201, state.define(of, name, kind, body.get("choices"))


def _list(state: StandIn, asked: Asked, call: Call) -> Answer:
    start = int(asked.query.get("cursor", "0"))
    listed = list(state.attributes.values())
    following = start + PAGE
    url = f"https://subdomain.user.com{BASE}attributes/?cursor={following}"
    state.log.take_effect(call)
    return 200, {
        "next": url if following < len(listed) else None,
        "previous": None,
        "results": listed[start:following],
    }


ROUTES = (
    Route("POST", "users/update_or_create/", _upsert, "upsert"),
    Route("POST", "users/merge/", _merge, "merge"),
    Route("GET", "users-by-id/{id}/", _read, "read"),
    Route("DELETE", "users-by-id/{id}/", _delete, "delete"),
    Route("POST", "users-by-id/{id}/events/", _event, "event"),
    Route("POST", "site-views/", _view, "view"),
    Route("GET", "companies-by-id/{id}/", _find_company, "find-company"),
    Route("POST", "companies/", _make_company, "company"),
    Route("PUT", "companies/{id}/", _change_company, "company"),
    Route("POST", "companies/{id}/add_member/", _add_member, "member"),
    Route("GET", "attributes/", _list, "attributes"),
    Route("POST", "attributes/", _define, "define"),
)


def answer(
    state: StandIn, route: Route | None, asked: Asked, call: Call, key: str | None
) -> Answer:
    """Carry out a request."""
    if not state.accepts(key):
        return 401, {"detail": "Invalid token."}
    try:
        if route is None:
            raise Refusal(404, "Not found.")
        return route.operation(state, asked, call)
    except Refusal as refusal:
        return refusal.status, {"detail": refusal.text}
