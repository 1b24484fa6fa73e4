"""HTTP/1.1 for httpx, with nothing that delivery does not need.

A call costs a third of the processor time that it costs over general transports
(bench/README.md): an answer is short, so it is read as a whole; connections are bounded by who
calls; and redirects, proxies, cookies and pipelining there are none.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict, deque
from time import monotonic
from typing import Any, Final

import httptools
import httpx

Address = tuple[str, str, int]
"""Scheme, host and port."""

_PORTS: Final = {"http": 80, "https": 443}
_INFORMATIONAL: Final = range(100, 200)


class Http1Transport(httpx.AsyncBaseTransport):
    """Keep-alive connections, each with one request under way.

    Guarantees: a request is written once, on one connection; when nothing, or not all, comes
    back, that is an error, for whoever called to judge.
    """

    def __init__(
        self, *, ssl_context: ssl.SSLContext, keep_alive_seconds: float, max_body_bytes: int
    ) -> None:
        """``keep_alive_seconds``: how long a connection may be idle and still be used.

        ``max_body_bytes``: what is read of a body, about; the rest is let go.
        """
        self._ssl = ssl_context
        self._keep_alive = keep_alive_seconds
        self._max_body_bytes = max_body_bytes
        self._idle: dict[Address, deque[_Connection]] = defaultdict(deque)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call. Raises ``httpx.TransportError``; cancelled, it leaves no connection."""
        address = _address(request.url)
        message = _message(request)
        connection = self._reused(address) or await self._connected(address)
        try:
            response = await connection.call(message, self._max_body_bytes)
        except BaseException:
            connection.abort()
            raise
        if connection.is_reusable:
            self._idle[address].append(connection)
        else:
            connection.abort()
        response.request = request
        return response

    def _reused(self, address: Address) -> _Connection | None:
        idle = self._idle[address]
        # The one that was used last: the others may go.
        while idle:
            connection = idle.pop()
            if connection.is_reusable and monotonic() - connection.used_at < self._keep_alive:
                return connection
            connection.abort()
        return None

    async def _connected(self, address: Address) -> _Connection:
        scheme, host, port = address
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                _Connection, host, port, ssl=self._ssl if scheme == "https" else None
            )
        except (OSError, UnicodeError) as error:
            # ssl.SSLError is the first, too; a host that nobody can be asked for is the second.
            raise httpx.ConnectError(f"{host}:{port}: {error}") from error
        return connection

    async def aclose(self) -> None:
        """Close the connections that are idle."""
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()


def _address(url: httpx.URL) -> Address:
    if url.scheme not in _PORTS or not url.host:
        raise httpx.UnsupportedProtocol(f"{url}: http:// or https:// and a host are needed")
    return url.scheme, url.host, url.port or _PORTS[url.scheme]


def _message(request: httpx.Request) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    if any(b"\r" in line or b"\n" in line for line in lines):
        raise httpx.LocalProtocolError("a header has a line break in it")
    return b"\r\n".join((*lines, b"", request.content))


class _Connection(asyncio.Protocol):
    """A connection, and the answer that it is waited on for."""

    def __init__(self) -> None:
        self.used_at = 0.0
        self.is_reusable = False
        self._transport: Any = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[httpx.Response] | None = None
        self._is_closed = False
        self._begin()

    def _begin(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._has_headers = False
        self._is_framed = False
        self._body: list[bytes] = []
        self._size = 0

    async def call(self, message: bytes, max_body_bytes: int) -> httpx.Response:
        self._max_body_bytes = max_body_bytes
        self.is_reusable = False
        self._answer = asyncio.get_running_loop().create_future()
        if self._is_closed:
            raise httpx.ConnectError("the other side has closed the connection")
        self._transport.write(message)
        return await self._answer

    def abort(self) -> None:
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            # Nothing was asked: whatever it is, it is not an answer to the next request.
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(httpx.RemoteProtocolError(f"not HTTP/1.1: {error}"))

    def eof_received(self) -> None:
        if self._has_headers and not self._is_framed:
            # The end of the connection is the end of such a body.
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_closed, self.is_reusable = True, False
        self._fail(
            httpx.ReadError(f"the connection broke: {error}")
            if error
            else httpx.RemoteProtocolError("the connection was closed before the answer's end")
        )

    def _fail(self, error: httpx.TransportError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _end(self) -> None:
        if self._answer is None or self._answer.done():
            return
        response = httpx.Response(
            self._parser.get_status_code(),
            headers=self._headers,
            stream=httpx.ByteStream(b"".join(self._body)),
        )
        self._begin()
        self.used_at = monotonic()
        self._answer.set_result(response)

    # -- httptools' callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        lowered = name.lower()
        if lowered == b"content-length" or (
            lowered == b"transfer-encoding" and b"chunked" in value.lower()
        ):
            self._is_framed = True

    def on_headers_complete(self) -> None:
        self._has_headers = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._size += len(body)
        if self._size >= self._max_body_bytes:
            # Enough to know what it says; the rest would be in the way of the next answer.
            self._end()

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() in _INFORMATIONAL:
            self._begin()
            return
        self.is_reusable = self._parser.should_keep_alive() and not self._answer_is_cut()
        self._end()

    def _answer_is_cut(self) -> bool:
        return self._answer is not None and self._answer.done()
