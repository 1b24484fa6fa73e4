"""The only place that makes HTTP calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import httpx
import httpx_aiohttp
import orjson

from streams.destinations.base import Request

MAX_ANSWER_BYTES = 64 * 1024
"""Enough to classify an answer and to show it to a person."""
KEEP_ALIVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``status`` 0 means that nothing did; ``text`` then says why."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    text: str = ""


class Sender(Protocol):
    """Makes a request and brings back the answer."""

    async def send(self, request: Request) -> Answer:
        """Never raises for what the network or the other side does."""

    async def close(self) -> None:
        """Release connections."""


class HttpSender:
    """Keep-alive HTTP/1.1 with a bound on open connections.

    httpx requests and responses over aiohttp's transport, without httpx's client between
    them: its cookies, redirects and URL merging, none of which is wanted here, cost more
    than the call (bench/README.md).
    """

    def __init__(
        self,
        *,
        max_connections: int,
        timeout_seconds: float,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        """``max_answer_bytes``: what is read of an answer; the rest is let go."""
        self._max_answer_bytes = max_answer_bytes
        self._connections = max_connections
        self._timeout = timeout_seconds
        self._timeouts = {"timeout": httpx.Timeout(timeout_seconds).as_dict()}
        self._transport = httpx_aiohttp.AiohttpTransport(client=self._new_session)

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections,
                ssl=httpx.create_ssl_context(),
                # Shorter than servers usually wait: a call on a connection that the other
                # side has just closed may or may not have arrived.
                keepalive_timeout=KEEP_ALIVE_SECONDS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": "encharge-streams"},
            skip_auto_headers=["accept-encoding"],
            auto_decompress=False,
        )

    async def send(self, request: Request) -> Answer:
        """See :class:`Sender`. A call that takes longer than the timeout has no answer."""
        message = httpx.Request(
            request.method,
            request.url,
            headers=dict(request.headers),
            content=None if request.body is None else orjson.dumps(request.body),
            extensions=self._timeouts,
        )
        try:
            # The transport bounds each read and write; this bounds the whole call.
            async with asyncio.timeout(self._timeout):
                response = await self._transport.handle_async_request(message)
                try:
                    body = await _beginning(response, self._max_answer_bytes)
                finally:
                    await response.aclose()
        except TimeoutError:
            return Answer(0, {}, b"", f"no answer within {self._timeout:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
            # The transport translates most of aiohttp's errors into httpx's, not all.
            return Answer(0, {}, b"", f"{type(error).__name__}: {error}")
        return Answer(response.status_code, response.headers, body)

    async def close(self) -> None:
        """See :class:`Sender`."""
        await self._transport.aclose()


async def _beginning(response: httpx.Response, max_bytes: int) -> bytes:
    """What is read of an answer."""
    parts: list[bytes] = []
    size = 0
    # Nothing compressed was asked for; if it is all the same, httpx knows what to do.
    stream = response.aiter_bytes() if "content-encoding" in response.headers else response.stream
    async for part in stream:  # type: ignore[union-attr]
        parts.append(part)
        size += len(part)
        if size >= max_bytes:
            break
    return b"".join(parts)[:max_bytes]
