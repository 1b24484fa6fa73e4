"""HTTP/1.1 as servers speak it, well and badly, over real sockets."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from streams.delivery.http1 import Http1Transport
from tests.support.fakes import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each request with the next of ``answers``, in the pieces that it consists of."""

    def __init__(self) -> None:
        self.answers: list[list[bytes]] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self.closes_after = 1_000
        self.waits = asyncio.Event()
        self.waits.set()
        self.url = ""

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for _ in range(self.closes_after):
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head.lower())
                body = await reader.readexactly(int(length[1])) if length else b""
                self.requests.append(head + body)
                await self.waits.wait()
                for piece in self.answers.pop(0) if self.answers else [OK]:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.speak, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    yield made
    listening.close()


@pytest.fixture
async def transport() -> AsyncIterator[Http1Transport]:
    made = Http1Transport(
        ssl_context=ssl.create_default_context(), keep_alive_seconds=5, max_body_bytes=1000
    )
    yield made
    await made.aclose()


async def call(transport: Http1Transport, url: str, content: bytes = b"{}") -> tuple[int, bytes]:
    request = httpx.Request("POST", url, content=content, headers={"X-Key": "k"})
    response = await transport.handle_async_request(request)
    return response.status_code, await response.aread()


async def test_a_request_is_written_as_http_1_1_says(
    server: Server, transport: Http1Transport
) -> None:
    assert await call(transport, server.url + "?a=b c", "ü".encode()) == (200, b"ok")
    [request] = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    assert first == b"POST /v1?a=b%20c HTTP/1.1"
    host = server.url.removeprefix("http://").removesuffix("/v1").encode()
    assert sorted(headers) == sorted([b"Host: " + host, b"Content-Length: 2", b"X-Key: k"])
    assert body == "ü".encode()


@pytest.mark.parametrize(
    ("pieces", "status", "body"),
    [
        ([bytes([byte]) for byte in OK], 200, b"ok"),
        (
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                b"2;x=y\r\nde\r\n0\r\n\r\n",
            ],
            200,
            b"abcde",
        ),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
        ([b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK], 200, b"ok"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + OK], 200, b"ok"),
        ([b"HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n"], 503, b""),
    ],
    ids=["byte by byte", "chunked", "no content", "hints", "continue", "no reason"],
)
async def test_an_answer_in_any_form_is_read_and_the_connection_used_again(
    server: Server, transport: Http1Transport, pieces: list[bytes], status: int, body: bytes
) -> None:
    server.answers = [pieces]
    assert await call(transport, server.url) == (status, body)
    assert await call(transport, server.url) == (200, b"ok")
    assert server.connections == 1


async def test_a_body_without_an_end_of_its_own_ends_with_the_connection(
    server: Server, transport: Http1Transport
) -> None:
    server.answers, server.closes_after = [[b"HTTP/1.1 200 OK\r\n\r\nso", b"me"]], 1
    assert await call(transport, server.url) == (200, b"some")
    assert await call(transport, server.url) == (200, b"ok")
    assert server.connections == 2


@pytest.mark.parametrize(
    "header", [b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK\r\nConnection: close"], ids=["1.0", "close"]
)
async def test_a_server_that_wants_no_more_on_a_connection_gets_no_more(
    server: Server, transport: Http1Transport, header: bytes
) -> None:
    server.answers = [[header + b"\r\nContent-Length: 2\r\n\r\nok"]]
    assert await call(transport, server.url) == (200, b"ok")
    assert await call(transport, server.url) == (200, b"ok")
    assert server.connections == 2


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"HTTP/1.1 200 OK\r\nContent-Le"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nnot all"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
        [b"SSH-2.0-OpenSSH_9.2\r\n"],
    ],
    ids=["nothing", "half a header", "half a body", "half of the chunks", "no HTTP"],
)
async def test_half_an_answer_is_none_and_is_asked_for_once(
    server: Server, transport: Http1Transport, pieces: list[bytes]
) -> None:
    server.answers, server.closes_after = [pieces], 1
    with pytest.raises(httpx.TransportError):
        await call(transport, server.url)
    assert len(server.requests) == 1
    assert await call(transport, server.url) == (200, b"ok")


async def test_a_large_body_is_cut_and_its_rest_is_no_answer_to_the_next_request(
    server: Server, transport: Http1Transport
) -> None:
    server.answers = [[b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", *([b"x" * 900] * 10)]]
    status, body = await call(transport, server.url)
    assert (status, body.strip(b"x")) == (200, b"")
    assert 1000 <= len(body) < 9000
    assert await call(transport, server.url) == (200, b"ok")
    assert server.connections == 2


async def test_what_was_not_asked_for_is_no_answer(
    server: Server, transport: Http1Transport
) -> None:
    server.answers = [[OK, b"HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n"]]
    assert await call(transport, server.url) == (200, b"ok")
    await asyncio.sleep(0.05)
    assert await call(transport, server.url) == (200, b"ok")
    assert server.connections == 2


async def test_a_connection_that_was_closed_meanwhile_or_idle_for_too_long_is_not_used(
    server: Server,
) -> None:
    transport = Http1Transport(
        ssl_context=ssl.create_default_context(), keep_alive_seconds=0.05, max_body_bytes=1000
    )
    server.closes_after = 1
    await call(transport, server.url)
    await asyncio.sleep(0.02)
    server.closes_after = 1_000
    await call(transport, server.url)
    assert server.connections == 2
    await asyncio.sleep(0.06)
    await call(transport, server.url)
    assert server.connections == 3
    await transport.aclose()


async def test_calls_at_once_have_a_connection_each(
    server: Server, transport: Http1Transport
) -> None:
    server.waits.clear()
    calls = [asyncio.create_task(call(transport, server.url)) for _ in range(5)]
    await eventually(lambda: len(server.requests) == 5)
    server.waits.set()
    assert await asyncio.gather(*calls) == [(200, b"ok")] * 5
    assert server.connections == 5
    await asyncio.gather(*(call(transport, server.url) for _ in range(5)))
    assert server.connections == 5


async def test_a_call_that_is_given_up_takes_its_connection_with_it(
    server: Server, transport: Http1Transport
) -> None:
    server.waits.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await call(transport, server.url)
    server.waits.set()
    assert await call(transport, server.url) == (200, b"ok")
    assert server.connections == 2


async def test_a_line_break_in_a_header_is_never_sent(
    server: Server, transport: Http1Transport
) -> None:
    request = httpx.Request("POST", server.url, headers={"X-Key": "k\r\nX-Other: 1"})
    with pytest.raises(httpx.LocalProtocolError):
        await transport.handle_async_request(request)
    assert not server.requests


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///v1", "/v1"])
async def test_what_is_no_address_is_told(transport: Http1Transport, url: str) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        await transport.handle_async_request(httpx.Request("GET", url))


async def test_a_server_that_speaks_no_tls_is_not_talked_to(
    server: Server, transport: Http1Transport
) -> None:
    server.closes_after = 0
    with pytest.raises(httpx.ConnectError):
        await call(transport, server.url.replace("http:", "https:"))
    assert not server.requests
