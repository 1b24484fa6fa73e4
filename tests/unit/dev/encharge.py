"""A running stand-in and a client for it, for the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import orjson
from aiohttp import web

from streams.dev.encharge import StandIn, create_app

KEY = "test-key"

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T]]) -> T:
    """What ``look`` finds, as soon as it finds something; fails after five seconds."""
    async with asyncio.timeout(5):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end; ``data`` is its JSON, or None."""

    status: int
    headers: dict[str, str]
    text: str
    data: Any


@dataclass
class Client:
    """Calls to one stand-in."""

    url: str
    session: aiohttp.ClientSession
    state: StandIn

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request with the key and JSON; ``headers`` replaces all of them."""
        if raw is None and body is not None:
            raw = orjson.dumps(body)
        if headers is None:
            headers = {"X-Encharge-Token": KEY, "Content-Type": "application/json"}
        async with self.session.request(
            method, self.url + path, data=raw, headers=headers
        ) as response:
            text = await response.text()
            is_json = response.content_type == "application/json" and text
            return Reply(
                response.status,
                dict(response.headers),
                text,
                orjson.loads(text) if is_json else None,
            )

    async def ingest(self, **body: object) -> Reply:
        """One ingest request."""
        return await self.call("POST", "/v1", body)

    async def ok(self, **body: object) -> None:
        """One ingest request that has to succeed."""
        reply = await self.ingest(**body)
        assert reply.status == 200, reply.text

    async def control(self, path: str, method: str = "GET", body: object = None) -> Any:
        """The JSON of a control request that has to succeed."""
        reply = await self.call(method, "/_stand-in" + path, body, headers={})
        assert reply.status in (200, 204), reply.text
        return reply.data

    async def person(self, some_id: str) -> Any:
        """A person with its timeline, or None."""
        reply = await self.call("GET", f"/_stand-in/people/{some_id}", headers={})
        return reply.data if reply.status == 200 else None

    async def timeline(self, some_id: str) -> list[str | None]:
        """The messageIds on a person's timeline."""
        return [entry["messageId"] for entry in (await self.person(some_id))["timeline"]]

    async def faults(self, *rules: object) -> None:
        """Put a fault plan in force."""
        await self.control("/faults", "POST", list(rules))

    async def idle(self) -> bool:
        """Whether no request is under way."""
        return bool((await self.control("/stats"))["inFlight"] == 0)

    async def requests(self) -> list[Any]:
        """The request log."""
        return list((await self.control("/requests"))["requests"])


@asynccontextmanager
async def running(state: StandIn | None = None) -> AsyncIterator[Client]:
    """A stand-in on a free port, stopped at the end."""
    state = state or StandIn(keys=frozenset({KEY}))
    runner = web.AppRunner(create_app(state), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        async with aiohttp.ClientSession() as session:
            yield Client(f"http://{host}:{port}", session, state)
    finally:
        await runner.cleanup()
