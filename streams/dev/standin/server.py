"""A stand-in behind HTTP: how one runs, answers, and fails on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

import orjson
from aiohttp import web
from multidict import CIMultiDict

from streams.dev.standin.faults import Fault
from streams.dev.standin.log import Call

#: Seconds given to requests under way when the server stops; held ones are cut at once.
STOP_SECONDS = 2.0

# On, for no time: closing then drops the connection with a TCP reset.
_LINGER = struct.pack("ii", 1, 0)
_JSON: CIMultiDict[str] = CIMultiDict({"Content-Type": "application/json; charset=utf-8"})

Answer = tuple[int, bytes]
"""Status and JSON body (empty for none)."""


async def serve(
    app: web.Application, host: str, port: int, *, ready: Callable[[str], None]
) -> None:
    """Run a stand-in until cancelled; then stop taking requests and let open ones end.

    Args:
        app: The stand-in.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        ready: Called once with the base URL, such as ``http://127.0.0.1:43123``, when requests
            are served.

    Raises:
        OSError: the address cannot be had.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        address = runner.addresses[0]
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        ready(f"http://{shown}:{address[1]}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def fail(
    request: web.Request,
    call: Call,
    fault: Fault,
    *,
    apply: Callable[[], Answer],
    error: Callable[[str], bytes],
    stopping: asyncio.Event,
) -> web.StreamResponse:
    """Let a request fail as ``fault`` says.

    ``apply()`` carries it out, ``error(text)`` is a refusal's body. Once ``stopping`` is set
    nothing is held any more.
    """
    call.fault = fault.name
    real = apply() if fault.after_apply else None
    if fault.seconds:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), fault.seconds)
    if fault.kind == "slow":
        call.status, body = real or apply()
        return response(call.status, body)
    if fault.kind == "status":
        call.status = fault.status
        return _fault_response(fault, error)
    _cut(request)
    # Nobody gets this: the connection is gone.
    return web.Response(status=500)


def response(status: int, body: bytes) -> web.Response:
    """An answer of the API."""
    if not body:
        return web.Response(status=status)
    return web.Response(status=status, body=body, headers=_JSON)


def _fault_response(fault: Fault, error: Callable[[str], bytes]) -> web.Response:
    content_type = "application/json"
    if fault.body is None:
        body = error(f"Stand-in fault: {fault.status}")
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
