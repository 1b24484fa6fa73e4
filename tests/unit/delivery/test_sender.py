"""The sender, over real HTTP: an answer is an answer, and everything else is none."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from streams.delivery.sender import MAX_ANSWER_BYTES, Answer, HttpSender
from streams.destinations.base import Request

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ask = Callable[[Handler], Awaitable[Answer]]


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    made = HttpSender(max_connections=4, timeout_seconds=0.5)
    yield made
    await made.close()


@pytest.fixture
async def ask(sender: HttpSender) -> AsyncIterator[Ask]:
    """Serve with a handler, send it one request, give the answer."""
    runners: list[web.AppRunner] = []

    async def served(handler: Handler) -> Answer:
        application = web.Application()
        application.router.add_route("*", "/{any:.*}", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1?a=b c"
        return await sender.send(Request("POST", url, {"X-Key": "k"}, {"name": "ü"}))

    yield served
    for runner in runners:
        await runner.cleanup()


async def test_what_is_sent_and_what_comes_back(ask: Ask) -> None:
    seen: list[tuple[str, str, object, str | None, str | None]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(
            (
                request.method,
                request.path_qs,
                await request.json(),
                request.headers.get("X-Key"),
                request.headers.get("Accept-Encoding"),
            )
        )
        return web.json_response({"ok": True}, status=201, headers={"Retry-After": "3"})

    answer = await ask(handler)
    assert seen == [("POST", "/v1?a=b%20c", {"name": "ü"}, "k", None)]
    assert (answer.status, answer.body) == (201, b'{"ok": true}')
    assert answer.headers.get("retry-after") == "3"
    assert answer.headers["content-type"].startswith("application/json")


async def test_a_redirect_is_not_followed(ask: Ask) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    assert (await ask(handler)).status == 302


async def test_cookies_are_not_kept(ask: Ask, sender: HttpSender) -> None:
    sent: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Cookie"))
        response = web.Response()
        response.set_cookie("session", "1")
        return response

    await ask(handler)
    await ask(handler)
    assert sent == [None, None]


async def test_a_large_answer_is_cut(ask: Ask) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1_000_000)

    assert len((await ask(handler)).body) == MAX_ANSWER_BYTES


async def test_a_compressed_answer_is_read_all_the_same(ask: Ask) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"<html>"), headers={"Content-Encoding": "gzip"})

    assert (await ask(handler)).body == b"<html>"


async def test_no_answer_in_time_is_no_answer(ask: Ask) -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    answer = await ask(handler)
    assert (answer.status, answer.text) == (0, "no answer within 0.5 s")


async def test_an_answer_that_does_not_end_in_time_is_no_answer(ask: Ask) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        for _ in range(20):
            await response.write(b"x")
            await asyncio.sleep(0.1)
        return response

    assert (await ask(handler)).status == 0


async def test_a_connection_that_breaks_is_no_answer(ask: Ask) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    answer = await ask(handler)
    assert answer.status == 0
    assert answer.text


async def test_nobody_there_is_no_answer(sender: HttpSender) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answer = await sender.send(Request("GET", f"http://127.0.0.1:{port}/", {}, None))
    assert (answer.status, "Connect" in answer.text) == (0, True)
