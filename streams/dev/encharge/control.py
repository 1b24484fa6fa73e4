"""What the control API (:mod:`streams.dev.standin.control`) shows of Encharge besides.

========  =====================  ============================================================
method    path                   answer
========  =====================  ============================================================
GET       ``people``             ``{"people", "total"}``; filters ``id userId email anonymousId
                                 tag object`` (``type:id``) and ``anonymous archived
                                 unsubscribed`` (true or false); ``limit`` (100), ``offset``
GET       ``people/{any id}``    one person with its ``timeline``: the accepted calls, in the
                                 order of their effect; 404 for nobody
GET       ``objects``            ``{"objects": {type: [...]}}``
========  =====================  ============================================================

``stats`` also has ``people`` and ``anonymous``. Types of requests are identify, track, page,
alias and group (Ingest), people, delete, unsubscribe, tag, untag, fields, schemas, object and
read (REST), and other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from aiohttp import web
from multidict import MultiMapping

from streams.dev.encharge.people import Person
from streams.dev.encharge.state import StandIn
from streams.dev.standin import control
from streams.dev.standin.control import as_json
from streams.dev.standin.refusal import Refusal, number

_FLAGS: dict[str, Callable[[Person], bool]] = {
    "anonymous": lambda person: person.anonymous,
    "archived": lambda person: person.archived,
    "unsubscribed": lambda person: person.unsubscribed,
}
_FILTERS: dict[str, Callable[[str, Person], bool]] = {
    "id": lambda wanted, person: person.id == wanted,
    "userId": lambda wanted, person: person.user_id == wanted,
    "email": lambda wanted, person: person.email == wanted,
    "anonymousId": lambda wanted, person: wanted in person.anonymous_ids,
    "tag": lambda wanted, person: wanted in person.tags,
    "object": lambda wanted, person: tuple(wanted.split(":", 1)) in person.objects,
}


def add_routes(app: web.Application, state: StandIn) -> None:
    """Give ``app`` the control API of ``state``."""
    shown = _Shown(state)
    control.add_routes(
        app,
        state,
        ("GET", "/people", shown.people),
        ("GET", "/people/{id:.+}", shown.person),
        ("GET", "/objects", shown.objects),
    )


class _Shown:
    def __init__(self, state: StandIn) -> None:
        self._state = state

    async def people(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        limit, offset = number(query, "limit", 100), number(query, "offset", 0)
        tests = _filters(query)
        found = [person for person in self._state.people if all(test(person) for test in tests)]
        shown = [person.as_json() for person in found[offset : offset + limit]]
        return as_json({"people": shown, "total": len(found)})

    async def person(self, request: web.Request) -> web.StreamResponse:
        person = self._state.people.look_up(request.match_info["id"])
        if person is None:
            raise Refusal(404, "nobody has this id")
        timeline = [call.timeline_entry() for call in person.timeline]
        return as_json({**person.as_json(), "timeline": timeline})

    async def objects(self, _request: web.Request) -> web.StreamResponse:
        schemas = self._state.account.schemas
        return as_json(
            {"objects": {name: list(schema.by_id.values()) for name, schema in schemas.items()}}
        )


def _filters(query: MultiMapping[str]) -> list[Callable[[Person], bool]]:
    tests: list[Callable[[Person], bool]] = []
    for name, wanted in query.items():
        if name in _FLAGS:
            if wanted not in ("true", "false"):
                raise Refusal(400, f"{name} must be true or false")
            tests.append(partial(_is, _FLAGS[name], wanted == "true"))
        elif name in _FILTERS:
            tests.append(partial(_FILTERS[name], wanted))
        elif name not in ("limit", "offset"):
            raise Refusal(400, f"unknown filter {name}")
    return tests


def _is(flag: Callable[[Person], bool], wanted: bool, person: Person) -> bool:
    return flag(person) is wanted
