"""The only place that makes HTTP calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import httpx
import orjson

from streams.delivery.http1 import Http1Transport
from streams.destinations.base import Request

MAX_ANSWER_BYTES = 512 * 1024
"""Of an answer: enough for a page of a list."""
KEEP_ALIVE_SECONDS = 5.0
USER_AGENT = "encharge-streams"
KNOWN_URLS = 256
"""Kept parsed; there are few, unless ids are in them."""


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
        """Never raises for what the network or the other side does.

        Raises ``TypeError`` or ``ValueError`` for a request that cannot be written.
        """

    async def close(self) -> None:
        """Release connections."""


class HttpSender:
    """httpx's requests and answers over :class:`Http1Transport`.

    Without httpx's client between them: its cookies, redirects and merging of URLs, none of
    which is wanted here, cost more than the call (bench/README.md).
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
        self._room = asyncio.Semaphore(max_connections)
        self._timeout = timeout_seconds
        self._urls: dict[str, httpx.URL] = {}
        self._transport = Http1Transport(
            ssl_context=httpx.create_ssl_context(),
            # Shorter than servers usually wait: a call on a connection that the other side
            # has just closed may or may not have arrived.
            keep_alive_seconds=KEEP_ALIVE_SECONDS,
            max_body_bytes=max_answer_bytes,
        )

    async def send(self, request: Request) -> Answer:
        """See :class:`Sender`. A call that takes longer than the timeout has no answer."""
        try:
            message = httpx.Request(
                request.method,
                self._url(request.url),
                headers={"user-agent": USER_AGENT, **request.headers},
                content=None if request.body is None else orjson.dumps(request.body),
            )
            async with asyncio.timeout(self._timeout), self._room:
                response = await self._transport.handle_async_request(message)
                body = await _body(response)
        except TimeoutError:
            return Answer(0, {}, b"", f"no answer within {self._timeout:g} s")
        except httpx.InvalidURL as error:
            raise ValueError(f"its address is none: {error}") from error
        except httpx.HTTPError as error:
            return Answer(0, {}, b"", f"{type(error).__name__}: {error}")
        return Answer(response.status_code, response.headers, body[: self._max_answer_bytes])

    def _url(self, text: str) -> httpx.URL:
        url = self._urls.get(text)
        if url is None:
            if len(self._urls) >= KNOWN_URLS:
                self._urls.clear()
            url = self._urls[text] = httpx.URL(text)
        return url

    async def close(self) -> None:
        """See :class:`Sender`."""
        await self._transport.aclose()


async def _body(response: httpx.Response) -> bytes:
    # Nothing compressed was asked for; if it is all the same, httpx knows what to do.
    if "content-encoding" in response.headers:
        return await response.aread()
    return b"".join([part async for part in response.stream])  # type: ignore[union-attr]
