"""The stand-in behind HTTP.

The control API (:mod:`streams.dev.standin.control`) has two paths besides: ``people/{id}``, one
person with its ``events`` and ``views``, and ``attributes``, whose POST of ``{"content_type",
"name", "value_type", "choices"?}`` defines one as a person would in User.com's settings. An event
whose properties have a ``messageId`` is counted by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from streams.dev.standin import control, server
from streams.dev.standin.control import as_json
from streams.dev.standin.faults import Subject
from streams.dev.standin.log import Call
from streams.dev.standin.refusal import Refusal
from streams.dev.usercom.account import StandIn
from streams.dev.usercom.api import BASE, ROUTES, Answer, Asked, Route, answer

STATE: web.AppKey[StandIn] = web.AppKey("STATE", StandIn)


def create_app(state: StandIn | None = None) -> web.Application:
    """The stand-in as an application; ``state`` is a fresh one that accepts any key if None."""
    state = state or StandIn()
    app = web.Application()
    app[STATE] = state
    stopping = asyncio.Event()

    async def stop(_: web.Application) -> None:
        stopping.set()

    app.on_shutdown.append(stop)
    shown = _Shown(state)
    control.add_routes(
        app,
        state,
        ("GET", "/people/{id:.+}", shown.person),
        ("GET", "/attributes", shown.attributes),
        ("POST", "/attributes", shown.define),
    )
    app.router.add_route("*", "/{rest:.*}", _handler(state, stopping))
    return app


async def serve(
    host: str, port: int, *, keys: frozenset[str] | None, ready: Callable[[str], None]
) -> None:
    """Run a stand-in until cancelled: see :func:`streams.dev.standin.server.serve`.

    ``keys`` are accepted; None accepts any that is not empty.
    """
    await server.serve(create_app(StandIn(keys=keys)), host, port, ready=ready)


def find(method: str, path: str) -> tuple[Route | None, dict[str, str]]:
    """The route of a path as it was sent, and the variable parts of it."""
    if path.startswith(BASE):
        for route in ROUTES:
            names = route.match(method, path.removeprefix(BASE))
            if names is not None:
                return route, {name: unquote(value) for name, value in names.items()}
    return None, {}


def _handler(
    state: StandIn, stopping: asyncio.Event
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        raw_path = request.raw_path.partition("?")[0]
        call = state.log.begin(request.method, raw_path)
        try:
            raw = await request.read()
            route, names = find(request.method, raw_path)
            asked = Asked(names, request.query, _decoded(raw))
            _describe(call, route, asked)
            state.log.describe(call, raw)
            key = request.headers.get("Authorization", "").removeprefix("Token ")

            def apply() -> tuple[int, bytes]:
                return _encoded(answer(state, route, asked, call, key))

            fault = state.faults.choose(_subject(call, asked)) if state.faults.rules else None
            if fault is not None:
                return await server.fail(
                    request,
                    call,
                    fault,
                    apply=apply,
                    error=lambda text: orjson.dumps({"detail": text}),
                    stopping=stopping,
                )
            call.status, body = apply()
            return server.response(call.status, body)
        finally:
            state.log.finish(call)

    return handle


def _describe(call: Call, route: Route | None, asked: Asked) -> None:
    call.type = route.type if route is not None else None
    if call.type == "event" and isinstance(asked.body, dict):
        call.event = str(asked.body.get("name"))
        data = asked.body.get("data")
        if isinstance(data, dict) and isinstance(data.get("messageId"), str):
            call.message_id = data["messageId"]


def _subject(call: Call, asked: Asked) -> Subject:
    body = asked.body if isinstance(asked.body, dict) else {}
    ids = (asked.names.get("id"), body.get("custom_id"), body.get("user_custom_id"))
    return Subject(
        method=call.method,
        path=call.path,
        type=call.type,
        message_id=call.message_id,
        user_ids=frozenset(each for each in ids if isinstance(each, str)),
        anonymous_ids=frozenset(),
    )


def _decoded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _encoded(answered: Answer) -> tuple[int, bytes]:
    status, body = answered
    return status, b"" if body is None else orjson.dumps(body)


class _Shown:
    def __init__(self, state: StandIn) -> None:
        self._state = state

    async def person(self, request: web.Request) -> web.StreamResponse:
        person = self._state.person(request.match_info["id"])
        told = {"events": person.events, "views": person.views, "companies": person.companies}
        return as_json({**person.as_json(), **told})

    async def attributes(self, _request: web.Request) -> web.StreamResponse:
        return as_json({"attributes": list(self._state.attributes.values())})

    async def define(self, request: web.Request) -> web.StreamResponse:
        given = _decoded(await request.read())
        try:
            made = self._state.define(
                given["content_type"], given["name"], given["value_type"], given.get("choices")
            )
        except (KeyError, TypeError) as error:
            raise Refusal(400, "content_type, name and value_type are needed") from error
        return as_json(made)
