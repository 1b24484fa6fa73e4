"""The stand-in behind HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web
from multidict import CIMultiDict, MultiDict

from streams.dev.encharge import api, control
from streams.dev.encharge.api import Answer, Family, Incoming, Route
from streams.dev.encharge.faults import Fault
from streams.dev.encharge.log import Call
from streams.dev.encharge.state import StandIn

#: The state of an application made by :func:`create_app`.
STATE: web.AppKey[StandIn] = web.AppKey("STATE", StandIn)

#: Seconds given to requests under way when the server stops; held ones are cut at once.
STOP_SECONDS = 2.0

# Encharge documents no limit; this one only protects the machine.
_MAX_BODY = 64 * 1024 * 1024
_TOKEN_IN_QUERY = re.compile(r"(?:^|&)token=[^&]*")
# On, for no time: closing then drops the connection with a TCP reset.
_LINGER = struct.pack("ii", 1, 0)
_JSON: CIMultiDict[str] = CIMultiDict({"Content-Type": "application/json; charset=utf-8"})
_NO_QUERY: MultiDict[str] = MultiDict()

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(state: StandIn | None = None) -> web.Application:
    """The stand-in as an application; ``state`` is a fresh one that accepts any key if None.

    Run it without an access log: the request log is better and the benchmarks pay for both.
    """
    state = state or StandIn()
    app = web.Application(client_max_size=_MAX_BODY)
    app[STATE] = state
    server = _Server(state)
    app.on_shutdown.append(server.stop)
    for route in api.ROUTES:
        app.router.add_route(route.method, route.path, server.endpoint(route))
    control.add_routes(app, state)
    app.router.add_route("POST", api.KEY_IN_PATH.path, server.key_in_path())
    app.router.add_route("*", api.NOT_FOUND.path, server.endpoint(api.NOT_FOUND))
    return app


async def serve(
    host: str, port: int, *, keys: frozenset[str] | None, ready: Callable[[str], None]
) -> None:
    """Run a stand-in until cancelled; then stop taking requests and let open ones end.

    Args:
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        keys: Keys that are accepted; None accepts any that is not empty.
        ready: Called once with the base URL, such as ``http://127.0.0.1:43123``, when requests
            are served.

    Raises:
        OSError: the address cannot be had.
    """
    runner = web.AppRunner(
        create_app(StandIn(keys=keys)), access_log=None, shutdown_timeout=STOP_SECONDS
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        address = runner.addresses[0]
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        ready(f"http://{shown}:{address[1]}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


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
                return _response(call.status, body)
            except web.HTTPRequestEntityTooLarge:
                call.status = 413
                return _response(413, api.error_body(route.family, "The body is too large"))
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
        call.fault = fault.name
        real: Answer | None = None
        if fault.after_apply:
            real = api.answer(self._state, route, incoming, call)
        if fault.seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), fault.seconds)
        if fault.kind == "slow":
            call.status, body = real or api.answer(self._state, route, incoming, call)
            return _response(call.status, body)
        if fault.kind == "status":
            call.status = fault.status
            return _fault_response(route.family, fault)
        _cut(request)
        # Nobody gets this: the connection is gone.
        return web.Response(status=500)


def _header_key(request: web.Request) -> str | None:
    return request.headers.get("X-Encharge-Token")


def _header_or_query_key(request: web.Request) -> str | None:
    return _header_key(request) or request.query.get("token")


def _shown(request: web.Request) -> str:
    """Path and query for the log, without the key."""
    query = _TOKEN_IN_QUERY.sub("", request.query_string).lstrip("&")
    return f"{request.path}?{query}" if query else request.path


def _response(status: int, body: bytes) -> web.Response:
    if not body:
        return web.Response(status=status)
    return web.Response(status=status, body=body, headers=_JSON)


def _fault_response(family: Family, fault: Fault) -> web.Response:
    content_type = "application/json"
    if fault.body is None:
        body = api.error_body(family, f"Stand-in fault: {fault.status}")
    elif isinstance(fault.body, str):
        body, content_type = fault.body.encode(), "text/plain; charset=utf-8"
    else:
        body = orjson.dumps(fault.body)
    headers = {"Content-Type": fault.content_type or content_type}
    if fault.retry_after is not None:
        headers["Retry-After"] = fault.retry_after
    return web.Response(status=fault.status, body=body, headers=headers)


def _cut(request: web.Request) -> None:
    """Drop the client's connection with a TCP reset."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    transport.abort()
