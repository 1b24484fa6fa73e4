"""Encharge's Ingest API and REST API: what is asked for, what is refused, what changes.

Sources, by the names used in the comments: "Ingest API", "Segment.com" and "REST" are the pages
and the OpenAPI description at docs.encharge.io; "article N" is Encharge's help centre; "Segment's
destination" is the Encharge destination in segmentio/action-destinations; "w6w" is the README of
the public w6w Encharge package, which probed the live service in 2026-10.

Who a call is about (decided here, since the sources disagree): the Ingest API's page requires
``email`` or ``userId`` in ``user``. Segment's destination, whose calls Encharge accepts, sends
anonymous people with ``segmentAnonymousId`` alone and repeats the ids beside ``user``. So any of
the three ids will do, in ``user`` or beside it (``user`` wins); a call for a person with none of
them, such as a page with an empty ``user``, is refused with 400, because there is nobody whose
page it could be. Only a group call may lack them: it is then about the object alone
(Encharge's help, "Segment Actions").

The status codes of refusals are the stand-in's choice, as Encharge documents none: 401 for keys,
404 for what does not exist, 400 for the rest. All of them are final for a client.
"""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import orjson
from multidict import MultiMapping

from streams.dev.encharge.account import text_id
from streams.dev.encharge.people import ID_KEYS, Ids, Person
from streams.dev.encharge.state import StandIn
from streams.dev.standin.faults import Subject
from streams.dev.standin.log import Call
from streams.dev.standin.refusal import Refusal, number

#: Error code of the REST API for a key it does not know (w6w).
BAD_KEY = 10082

#: Types with a meaning of their own. "track" and "page" record an event, "identify" only the
#: person ("Ingest API"; Segment's destination).
TYPES = frozenset({"identify", "track", "page", "alias", "group"})

#: First path segments of the REST API: they are never a write key in ``POST /v1/{key}``.
REST_NAMES = frozenset(
    {
        "accounts",
        "broadcasts",
        "emails",
        "event-subscriptions",
        "fields",
        "folders",
        "objects",
        "people",
        "schemas",
        "segments",
        "settings",
        "tags",
        "tags-management",
    }
)

_PEOPLE_QUERY = re.compile(r"people\[(\d+)\]\[(\w+)\]\Z")
_EMPTY = b"{}"
# Not documented; the Ingest API's page says no more than "200: OK".
_INGESTED = (200, _EMPTY)


class Family(Enum):
    """Which of the two APIs: they differ in keys and error bodies."""

    INGEST = "ingest"
    REST = "rest"


@dataclass(slots=True)
class Incoming:
    """A request as the operations see it.

    ``data`` is the decoded body, or None; ``problem`` says why there is none where one was
    needed. ``names`` are the variable parts of the path.
    """

    key: str | None
    query: MultiMapping[str]
    names: Mapping[str, str]
    data: object = None
    problem: str | None = None


Answer = tuple[int, bytes]
Operation = Callable[[StandIn, Incoming, Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint: ``type`` is its name in the request log and in the rules of a fault plan."""

    method: str
    path: str
    operation: Operation
    type: str | None
    family: Family = Family.REST
    has_body: bool = False


def decode(raw: bytes, content_type: str | None) -> tuple[object, str | None]:
    """The JSON in a request's body, and what is wrong with it, if anything.

    Both APIs take ``application/json`` only ("Ingest API": the header is required).
    """
    problem = None
    kind = content_type or ""
    if kind != "application/json" and kind.partition(";")[0].strip().lower() != "application/json":
        problem = "Content-Type must be application/json"
    try:
        return orjson.loads(raw), problem
    except orjson.JSONDecodeError:
        return None, problem or "The body is not valid JSON"


def describe(call: Call, data: object) -> None:
    """Note on ``call`` what an ingest request says about itself, valid or not."""
    if type(data) is not dict:
        return
    name = data.get("event")
    if name is None:
        name = data.get("name")
    if type(name) is str:
        call.event = name
    kind = data.get("type")
    if type(kind) is str:
        call.type = kind
    elif kind is None:
        # Without a type it is the general form, in which a name says everything.
        call.type = "identify" if call.event == "identify" else "track"
    message_id, timestamp = data.get("messageId"), data.get("timestamp")
    if type(message_id) is str:
        call.message_id = message_id
    if type(timestamp) is str:
        call.timestamp = timestamp


def subject(call: Call, incoming: Incoming) -> Subject:
    """What the rules of a fault plan can match of a request, valid or not."""
    sources: list[Mapping[str, object]] = [incoming.query]
    for item in incoming.data if isinstance(incoming.data, list) else [incoming.data]:
        if isinstance(item, dict):
            sources.append(item)
            if isinstance(user := item.get("user"), dict):
                sources.append(user)
    users = [source.get("userId") for source in sources]
    devices = [source.get("segmentAnonymousId") for source in sources]
    for key, value in incoming.query.items():
        if found := _PEOPLE_QUERY.match(key):
            kind = found.group(2)
            if kind in ("userId", "segmentAnonymousId"):
                (users if kind == "userId" else devices).append(value)
    return Subject(
        method=call.method,
        path=call.path.partition("?")[0],
        type=call.type,
        message_id=call.message_id,
        user_ids=_texts(users),
        anonymous_ids=_texts(devices),
    )


def _texts(values: list[object]) -> frozenset[str]:
    return frozenset(str(value) for value in values if isinstance(value, str | int | float))


def answer(state: StandIn, route: Route, incoming: Incoming, call: Call) -> Answer:
    """Carry out a request: status and JSON body (empty for 201 and 204)."""
    try:
        _check_key(state, route.family, incoming.key)
        if route.has_body and incoming.problem is not None:
            raise Refusal(400, incoming.problem)
        return route.operation(state, incoming, call)
    except Refusal as refusal:
        return refusal.status, error_body(route.family, refusal.text, refusal.code)


def error_body(family: Family, text: str, code: int | None = None) -> bytes:
    """An error as the API words it: a text from Ingest (w6w), an object from REST ("REST")."""
    if family is Family.INGEST:
        return orjson.dumps({"error": text})
    error: dict[str, object] = {
        "message": text,
        "markdown": f"<p>{html.escape(text)}</p>\n",
        "traceId": str(uuid.uuid4()),
    }
    if code is not None:
        error["errorCode"] = code
    return orjson.dumps({"error": error})


def _check_key(state: StandIn, family: Family, key: str | None) -> None:
    """The texts and the code are those of the live service (w6w)."""
    if state.accepts(key):
        return
    if family is Family.INGEST:
        raise Refusal(401, "Invalid Encharge write key." if key else "Missing Encharge write key.")
    if key:
        raise Refusal(401, "Token without payload (should be JWT token)", BAD_KEY)
    raise Refusal(401, "User not logged in: Unauthorized request")


def ingest(state: StandIn, incoming: Incoming, call: Call) -> Answer:
    """``POST /v1``: one event or one person, as an object; no array form is documented."""
    data = incoming.data
    if type(data) is not dict:
        raise Refusal(400, "The body must be a JSON object")
    for key in ("user", "properties", "context"):
        if not isinstance(data.get(key), dict | None):
            raise Refusal(400, f"{key} must be an object")
    kind = data.get("type")
    if kind is not None and (type(kind) is not str or kind not in TYPES):
        raise Refusal(400, "Unknown event type")
    if kind == "alias":
        return _alias(state, data, call)
    if kind is None and call.event is None:
        raise Refusal(400, "Missing event name")
    if kind == "track" and not call.event:
        raise Refusal(400, "Missing event name")
    user = data.get("user")
    if kind == "group":
        return _group(state, data, user or {}, call)
    if user is None:
        raise Refusal(400, "Missing user")
    ids = _ids_of_event(data, user)
    if not ids.given:
        raise Refusal(400, "Missing email or userId of the user")
    state.log.take_effect(call)
    _record(call, (_upsert(state, ids, user),))
    return _INGESTED


def _alias(state: StandIn, data: dict[str, object], call: Call) -> Answer:
    """The "alias" event: what ``previousUserId`` did, ``userId`` did ("Ingest API")."""
    user_id, previous_id = text_id(data.get("userId")), text_id(data.get("previousUserId"))
    if user_id is None or previous_id is None:
        raise Refusal(400, "An alias needs userId and previousUserId")
    state.log.take_effect(call)
    person = state.people.alias(previous_id, user_id)
    if person is not None:
        _record(call, (person,))
    return _INGESTED


def _group(state: StandIn, data: dict[str, object], user: dict[str, object], call: Call) -> Answer:
    """The "group" event: an object, and the person in it where one is named ("Ingest API").

    ``objectType`` defaults to company (Segment's destination). The schema must exist, and the
    object needs an ``externalId`` or an ``id``.
    """
    object_type = data.get("objectType", "company")
    if not isinstance(object_type, str):
        raise Refusal(400, "objectType must be text")
    properties = data.get("properties")
    ids = _ids_of_event(data, user)
    stored, _ = state.account.put_object(
        object_type, properties if isinstance(properties, dict) else {}
    )
    state.log.take_effect(call)
    if ids.given:
        person = _upsert(state, ids, user)
        person.objects[object_type, str(stored.get("externalId", stored["id"]))] = None
        _record(call, (person,))
    return _INGESTED


def _ids_of_event(data: dict[str, object], user: dict[str, object]) -> Ids:
    get, beside = user.get, data.get
    return Ids(
        text_id(get("userId")) or text_id(beside("userId")),
        text_id(get("email")) or text_id(beside("email")),
        text_id(get("segmentAnonymousId")) or text_id(beside("segmentAnonymousId")),
    )


def _upsert(state: StandIn, ids: Ids, user: dict[str, object]) -> Person:
    """Find or make the person and set its fields: last wins, null overwrites ("Segment.com").

    ``tags`` is text with commas and adds to the tags there are ("Ingest API"). In any other
    form it is left out, as nothing is documented for it: it is a customer's trait that happens
    to have this name, and no reason to lose the event.
    """
    person = state.people.upsert(ids)
    fields, known = person.fields, state.account.fields
    for name, value in user.items():
        if name in ID_KEYS:
            continue
        if name == "tags":
            if isinstance(value, str):
                person.tags |= dict.fromkeys(filter(None, map(str.strip, value.split(","))))
            continue
        fields[name] = value
        if name not in known:
            state.account.note_field(name, value)
    return person


def _record(call: Call, people: tuple[Person, ...]) -> None:
    if not call.dropped:
        call.people = people
        for person in people:
            person.timeline.append(call)


def post_people(state: StandIn, incoming: Incoming, call: Call) -> Answer:
    """``POST /people``: create or update, all or none ("REST": no errors by item).

    Documented is an array; public clients post a single object, with success.
    """
    given = incoming.data if isinstance(incoming.data, list) else [incoming.data]
    checked: list[tuple[Ids, dict[str, object]]] = []
    for item in given:
        if not isinstance(item, dict):
            raise Refusal(400, "People are objects")
        if not (ids := _ids(item)).given:
            raise Refusal(400, "A person needs an id, userId or email")
        checked.append((ids, item))
    state.log.take_effect(call)
    people = [_upsert(state, ids, item) for ids, item in checked]
    # Two items of one request may be one person, at once or by a merge that the second brings.
    distinct = list(dict.fromkeys(person.current() for person in people))
    _record(call, tuple(distinct))
    return _json(200, {"users": [person.as_encharge() for person in distinct]})


def get_people(state: StandIn, incoming: Incoming, _call: Call) -> Answer:
    """``GET /people?people[0][email]=...``: those that exist, the archived only on request."""
    archived = _flag(incoming, "includeArchived")
    found = [person for person in _named(state, incoming) if archived or not person.archived]
    attributes = _attributes(incoming)
    return _json(200, {"users": [person.as_encharge(attributes) for person in found]})


def get_all_people(state: StandIn, incoming: Incoming, _call: Call) -> Answer:
    """``GET /people/all``: in the order of creation, without the archived.

    Sorting is documented without the names it takes, and is refused.
    """
    if "sort" in incoming.query or "order" in incoming.query:
        raise Refusal(400, "The stand-in does not sort")
    named_only = _flag(incoming, "ignoreAnonymous")
    limit, offset = number(incoming.query, "limit", 100), number(incoming.query, "offset", 0)
    shown = [
        person
        for person in state.people
        if not person.archived and not (named_only and person.anonymous)
    ]
    attributes = _attributes(incoming)
    page = shown[offset : offset + limit]
    return _json(200, {"people": [person.as_encharge(attributes) for person in page]})


def delete_people(state: StandIn, incoming: Incoming, call: Call) -> Answer:
    """``DELETE /people?people[0][userId]=...``: archive, or erase with ``force=true``.

    Someone who is not there is no error: the answer to a repeated deletion is not documented,
    and its purpose is reached.
    """
    erase = _flag(incoming, "force")
    found = _named(state, incoming)
    state.log.take_effect(call)
    for person in found:
        if erase:
            state.people.erase(person)
        else:
            person.archived = True
    if not erase:
        _record(call, tuple(found))
    return 204, b""


def unsubscribe(state: StandIn, incoming: Incoming, call: Call) -> Answer:
    """``POST /people/unsubscribe?email=...``: sets the field that stops emails (article 303)."""
    query = incoming.query
    ids = Ids(
        user_id=query.get("userId") or None,
        email=query.get("email") or None,
        encharge_id=query.get("id") or None,
    )
    person = _existing(state, ids)
    state.log.take_effect(call)
    person.fields["unsubscribed"] = True
    _record(call, (person,))
    return 204, b""


def add_tags(state: StandIn, incoming: Incoming, call: Call) -> Answer:
    """``POST /tags``: the person must exist ("REST": "an existing user")."""
    tags, person = _tags_and_person(state, incoming)
    state.log.take_effect(call)
    person.tags |= tags
    _record(call, (person,))
    return 201, b""


def remove_tags(state: StandIn, incoming: Incoming, call: Call) -> Answer:
    """``DELETE /tags``, with a JSON body like that of ``POST /tags``."""
    tags, person = _tags_and_person(state, incoming)
    state.log.take_effect(call)
    for tag in tags:
        person.tags.pop(tag, None)
    _record(call, (person,))
    return 204, b""


def get_fields(state: StandIn, _incoming: Incoming, _call: Call) -> Answer:
    """``GET /fields``."""
    return _json(200, {"items": list(state.account.fields.values())})


def post_fields(state: StandIn, incoming: Incoming, call: Call) -> Answer:
    """``POST /fields``, an array."""
    added = state.account.create_fields(incoming.data)
    state.log.take_effect(call)
    return _json(200, {"items": added})


def get_schemas(state: StandIn, _incoming: Incoming, _call: Call) -> Answer:
    """``GET /schemas``."""
    return _json(200, {"objects": [item.as_json() for item in state.account.schemas.values()]})


def post_schemas(state: StandIn, incoming: Incoming, call: Call) -> Answer:
    """``POST /schemas``: without it, no group call of another type than company succeeds."""
    schema = state.account.create_schema(incoming.data)
    state.log.take_effect(call)
    return _json(200, {"object": schema.as_json()})


def post_schema_fields(state: StandIn, incoming: Incoming, call: Call) -> Answer:
    """``POST /schemas/{name}/fields``, an array."""
    added = state.account.create_object_fields(incoming.names["name"], incoming.data)
    state.log.take_effect(call)
    return _json(200, {"fields": added})


def put_object(state: StandIn, incoming: Incoming, call: Call) -> Answer:
    """``PUT /objects/{name}``."""
    if not isinstance(incoming.data, dict):
        raise Refusal(400, "The body must be an object")
    stored, created = state.account.put_object(incoming.names["name"], incoming.data)
    state.log.take_effect(call)
    return _json(200, {"created": created, "object": stored})


def account_info(state: StandIn, _incoming: Incoming, _call: Call) -> Answer:
    """``GET /accounts/info``, with every key that the description requires."""
    return _json(
        200,
        {
            "accountId": 1,
            "name": "Stand-in",
            "site": "example.com",
            "timezone": "UTC",
            "status": "active",
            "services": {},
            "activeServices": [],
            "peopleCount": sum(not person.archived for person in state.people),
        },
    )


def not_found(_state: StandIn, _incoming: Incoming, _call: Call) -> Answer:
    """Any other path or method: not documented, or not played here."""
    raise Refusal(404, "Not found")


def _ids(given: Mapping[str, object]) -> Ids:
    return Ids(
        user_id=text_id(given.get("userId")),
        email=text_id(given.get("email")),
        anonymous_id=text_id(given.get("segmentAnonymousId")),
        encharge_id=text_id(given.get("id")),
    )


def _named(state: StandIn, incoming: Incoming) -> list[Person]:
    """The people in a query like ``people[0][userId]=...`` ("REST": by any ID), once each."""
    by_number: dict[str, dict[str, object]] = {}
    for key, value in incoming.query.items():
        if found := _PEOPLE_QUERY.match(key):
            by_number.setdefault(found.group(1), {})[found.group(2)] = value
    asked = [_ids(given) for given in by_number.values()]
    if not asked or not all(ids.given for ids in asked):
        raise Refusal(400, "At least one of id/userId/email must be specified")
    found_people = (state.people.find(ids) for ids in asked)
    return list(dict.fromkeys(person for person in found_people if person is not None))


def _existing(state: StandIn, ids: Ids) -> Person:
    if not ids.given:
        raise Refusal(400, "At least one of id/userId/email must be specified")
    person = state.people.find(ids)
    if person is None or person.archived:
        raise Refusal(404, "Person not found")
    return person


def _tags_and_person(state: StandIn, incoming: Incoming) -> tuple[dict[str, None], Person]:
    """Tags are letters, digits, spaces, dashes and underscores (article 96)."""
    data = incoming.data
    if not isinstance(data, dict):
        raise Refusal(400, "The body must be an object")
    given = data.get("tag")
    if not isinstance(given, str):
        raise Refusal(400, "Missing tag")
    tags = dict.fromkeys(filter(None, map(str.strip, given.split(","))))
    if not tags:
        raise Refusal(400, "Missing tag")
    for tag in tags:
        if not all(letter.isalnum() or letter in " -_" for letter in tag):
            raise Refusal(400, f"A tag has letters, digits, spaces, dashes and underscores: {tag}")
    return tags, _existing(state, _ids(data))


def _flag(incoming: Incoming, name: str) -> bool:
    text = incoming.query.get(name, "false")
    if text not in ("true", "false"):
        raise Refusal(400, f"{name} must be true or false")
    return text == "true"


def _attributes(incoming: Incoming) -> list[str] | None:
    """Field names, by comma or by repeating the parameter: both are documented."""
    if "attributes" not in incoming.query:
        return None
    return [name for text in incoming.query.getall("attributes") for name in text.split(",")]


def _json(status: int, body: object) -> Answer:
    return status, orjson.dumps(body)


#: Everything that is documented and played here. ``POST /v1/{key}`` is documented as a way
#: round CORS, with the write key in the path ("Ingest API").
ROUTES = (
    Route("POST", "/v1", ingest, None, Family.INGEST, has_body=True),
    Route("POST", "/v1/", ingest, None, Family.INGEST, has_body=True),
    Route("POST", "/v1/people", post_people, "people", has_body=True),
    Route("GET", "/v1/people", get_people, "read"),
    Route("GET", "/v1/people/all", get_all_people, "read"),
    Route("DELETE", "/v1/people", delete_people, "delete"),
    Route("POST", "/v1/people/unsubscribe", unsubscribe, "unsubscribe"),
    Route("POST", "/v1/tags", add_tags, "tag", has_body=True),
    Route("DELETE", "/v1/tags", remove_tags, "untag", has_body=True),
    Route("GET", "/v1/fields", get_fields, "read"),
    Route("POST", "/v1/fields", post_fields, "fields", has_body=True),
    Route("GET", "/v1/schemas", get_schemas, "read"),
    Route("POST", "/v1/schemas", post_schemas, "schemas", has_body=True),
    Route("POST", "/v1/schemas/{name}/fields", post_schema_fields, "schemas", has_body=True),
    Route("PUT", "/v1/objects/{name}", put_object, "object", has_body=True),
    Route("GET", "/v1/accounts/info", account_info, "read"),
)
KEY_IN_PATH = Route("POST", "/v1/{key}", ingest, None, Family.INGEST, has_body=True)
NOT_FOUND = Route("*", "/{rest:.*}", not_found, "other")
