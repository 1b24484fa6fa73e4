"""The stand-in behind HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from aiohttp import web
from multidict import MultiDict

from streams.dev.encharge import api, control
from streams.dev.encharge.api import Family, Incoming, Route
from streams.dev.encharge.state import StandIn
from streams.dev.standin import server
from streams.dev.standin.faults import Fault
from streams.dev.standin.log import Call

#: The state of an application made by :func:`create_app`.
STATE: web.AppKey[StandIn] = web.AppKey("STATE", StandIn)

# Encharge documents no limit; this one only protects the machine.
_MAX_BODY = 64 * 1024 * 1024
_TOKEN_IN_QUERY = re.compile(r"(?:^|&)token=[^&]*")
_NO_QUERY: MultiDict[str] = MultiDict()

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(state: StandIn | None = None) -> web.Application:
    """The stand-in as an application; ``state`` is a fresh one that accepts any key if None.

    Run it without an access log: the request log is better and the benchmarks pay for both.
    """
    state = state or StandIn()
    app = web.Application(client_max_size=_MAX_BODY)
    app[STATE] = state
    served = _Server(state)
    app.on_shutdown.append(served.stop)
    for route in api.ROUTES:
        app.router.add_route(route.method, route.path, served.endpoint(route))
    control.add_routes(app, state)
    app.router.add_route("POST", api.KEY_IN_PATH.path, served.key_in_path())
    app.router.add_route("*", api.NOT_FOUND.path, served.endpoint(api.NOT_FOUND))
    return app


async def serve(
    host: str, port: int, *, keys: frozenset[str] | None, ready: Callable[[str], None]
) -> None:
    """Run a stand-in until cancelled: see :func:`streams.dev.standin.server.serve`.

    ``keys`` are accepted; None accepts any that is not empty.
    """
    await server.serve(create_app(StandIn(keys=keys)), host, port, ready=ready)


class _Server:
    """Requests in, answers and faults out."""

    def __init__(self, state: StandIn) -> None:
        self._state = state
        self._stopping = asyncio.Event()

    async def stop(self, _app: web.Application) -> None:
        """Let go of the requests that a fault holds."""
        self._stopping.set()

    def endpoint(
        self, route: Route, key_of: Callable[[web.Request], str | None] | None = None
    ) -> _Handler:
        """The handler of ``route``; ``key_of`` finds the key where it is not in its usual place.

        One coroutine does it all: this is also the target of the benchmarks, and a layer more
        would cost as much as the work itself.
        """
        state = self._state
        ingest = route.family is Family.INGEST
        find_key = key_of or (_header_key if ingest else _header_or_query_key)

        async def handle(request: web.Request) -> web.StreamResponse:
            log = state.log
            call = log.begin(request.method, route.path if ingest else _shown(request))
            call.type = route.type
            try:
                content = request.content
                # Most bodies have come along with the headers: no need to wait for them.
                raw = content.read_nowait() if content.is_eof() else await request.read()
                incoming = Incoming(
                    find_key(request),
                    _NO_QUERY if ingest else request.query,
                    request.match_info,
                )
                if route.has_body:
                    incoming.data, incoming.problem = api.decode(
                        raw, request.headers.get("Content-Type")
                    )
                if ingest:
                    api.describe(call, incoming.data)
                log.describe(call, raw)
                if state.faults.rules:
                    fault = state.faults.choose(api.subject(call, incoming))
                    if fault is not None:
                        return await self._fail(request, route, incoming, call, fault)
                call.status, body = api.answer(state, route, incoming, call)
                return server.response(call.status, body)
            except web.HTTPRequestEntityTooLarge:
                call.status = 413
                return server.response(413, api.error_body(route.family, "The body is too large"))
            finally:
                log.finish(call)

        return handle

    def key_in_path(self) -> _Handler:
        """The handler of ``POST /v1/{key}``; the key stays out of the log."""
        here = self.endpoint(api.KEY_IN_PATH, lambda request: request.match_info["key"])
        elsewhere = self.endpoint(api.NOT_FOUND)

        async def handle(request: web.Request) -> web.StreamResponse:
            named = request.match_info["key"] in api.REST_NAMES
            return await (elsewhere if named else here)(request)

        return handle

    async def _fail(
        self, request: web.Request, route: Route, incoming: Incoming, call: Call, fault: Fault
    ) -> web.StreamResponse:
        return await server.fail(
            request,
            call,
            fault,
            apply=lambda: api.answer(self._state, route, incoming, call),
            error=lambda text: api.error_body(route.family, text),
            stopping=self._stopping,
        )


def _header_key(request: web.Request) -> str | None:
    return request.headers.get("X-Encharge-Token")


def _header_or_query_key(request: web.Request) -> str | None:
    return _header_key(request) or request.query.get("token")


def _shown(request: web.Request) -> str:
    """Path and query for the log, without the key."""
    query = _TOKEN_IN_QUERY.sub("", request.query_string).lstrip("&")
    return f"{request.path}?{query}" if query else request.path
