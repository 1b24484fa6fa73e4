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

    httpx with aiohttp's transport: the same interface as plain httpx at several times
    its rate on one core.
    """

    def __init__(self, *, max_connections: int, timeout_seconds: float) -> None:
        limits = httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections
        )
        self._client = httpx.AsyncClient(
            transport=httpx_aiohttp.AiohttpTransport(limits=limits),
            timeout=httpx.Timeout(timeout_seconds),
            follow_redirects=False,
            headers={"user-agent": "encharge-streams"},
        )
        self._timeout = timeout_seconds

    async def send(self, request: Request) -> Answer:
        """See :class:`Sender`. A call that takes longer than the timeout has no answer."""
        try:
            # httpx bounds each read and write; this bounds the whole call.
            async with asyncio.timeout(self._timeout):
                response = await self._client.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    content=None if request.body is None else orjson.dumps(request.body),
                )
        except TimeoutError:
            return Answer(0, {}, b"", f"no answer within {self._timeout:g} s")
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            # The transport translates most of aiohttp's errors into httpx's, not all.
            return Answer(0, {}, b"", f"{type(error).__name__}: {error}")
        return Answer(response.status_code, response.headers, response.content[:MAX_ANSWER_BYTES])

    async def close(self) -> None:
        """See :class:`Sender`."""
        await self._client.aclose()
