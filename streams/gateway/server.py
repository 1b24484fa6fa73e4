"""The gateway over HTTP: who may, what came, is it stored, what to answer."""

from __future__ import annotations

import asyncio
import hashlib
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from streams.dead_letters.record import DeadLetter
from streams.engine.producer import Record
from streams.errors import InvalidEvent
from streams.events import SOURCE_HEADER, Origin
from streams.gateway import parse
from streams.gateway.answers import CORS, SUCCESS, Refusal, batch_stored, preflight
from streams.gateway.auth import WriteKeys, basic_user
from streams.gateway.outbox import Message
from streams.gateway.partition import partition_of
from streams.gateway.room import Rates, Room
from streams.gateway.stamp import Stamp, Stamped
from streams.telemetry.gateway import GatewayMetrics

log = structlog.get_logger(__name__)

STAGE: Final = "gateway"
"""Where the dead letters of invalid events in a batch say that they come from."""

MAX_BATCH_BYTES: Final = 500 * 1024
"""Of a request, as it is sent and once unpacked."""

BODY_SECONDS: Final = 20.0
"""How long the body of a request may take to come in."""

EVENT_BYTES: Final = 400
"""A usual event in a batch."""
GZIP_RATIO: Final = 6
"""How much more there is in a gzipped batch, usually."""

NOWHERE: Final = -1
"""Partition and offset of what was never on the source topic."""

_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Topics:
    """Where things go, and how many partitions that has."""

    events: str
    events_partitions: Callable[[], int]
    dead_letters: str
    dead_letter_partitions: Callable[[], int]


class Gateway:
    """Answers requests."""

    def __init__(
        self,
        *,
        keys: WriteKeys,
        store: Callable[[Sequence[Message]], Awaitable[None]],
        topics: Topics,
        room: Room,
        rates: Rates,
        metrics: GatewayMetrics,
        max_event_bytes: int,
        not_ready_because: Callable[[], list[str]],
    ) -> None:
        """``store`` returns once all of its messages are confirmed, or raises ``Refusal``."""
        self._keys = keys
        self._store = store
        self._topics = topics
        self._room = room
        self._rates = rates
        self._metrics = metrics
        self._max_event_bytes = max_event_bytes
        self._not_ready_because = not_ready_because
        metrics.watch(
            lambda: {"requests": room.requests, "events": room.events, "bytes": room.bytes}
        )

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """The answer to any request: a fault of ours is a 500.

        Raises ``ConnectionError`` when the client is gone, which nobody can be told.
        """
        path = request.raw_path
        kind = parse.route(path)
        try:
            if kind is None:
                return self._page(request, path)
            if request.method == "OPTIONS":
                wanted = request.headers.get("Access-Control-Request-Headers")
                return web.Response(headers=preflight(wanted))
            if request.method != "POST":
                raise Refusal(405, "method-not-allowed", "Only POST is taken here.")
            body = await self._take(request, kind)
            status, more = 200, {}
        except Refusal as refusal:
            self._metrics.refused(refusal.code)
            body, status, more = refusal.body(), refusal.status, refusal.headers()
        except ConnectionError:
            raise  # nobody is there to be answered
        except Exception:
            log.exception("request failed", path=path)
            failure = Refusal(500, "internal-error", "The gateway failed; try again.")
            body, status, more = failure.body(), failure.status, {}
        self._metrics.request(kind or "other", status)
        return web.Response(body=body, status=status, content_type=_JSON, headers={**CORS, **more})

    # -- events

    async def _take(self, request: web.BaseRequest, kind: str) -> bytes:
        started = time.perf_counter()
        key = basic_user(request.headers.get("Authorization"))
        if kind == parse.TELEMETRY:
            await _read(request, MAX_BATCH_BYTES)
            return SUCCESS
        # A wrong key in the head is told before the body is read.
        source = None if key is None else self._keys.source_of(key)
        with self._room.enter() as share:
            size = _announced(request)
            guessed = _guess_events(request, kind, size)
            share.grow(events=guessed, size=size)
            packed = await _read(request, MAX_BATCH_BYTES)
            encoding = request.headers.get("Content-Encoding")
            raw = parse.inflate(packed, encoding, MAX_BATCH_BYTES)
            if raw is not packed:
                share.grow(size=len(raw))
            body = parse.read_batch(raw) if kind == parse.BATCH else parse.read_single(raw)
            share.grow(events=len(body.items) - guessed)
            if source is None:
                source = self._keys.source_of(body.write_key)
            answer = await self._accept(body, kind, source)
        self._metrics.stored(time.perf_counter() - started)
        return answer

    async def _accept(self, body: parse.Body, kind: str, source: str) -> bytes:
        is_batch = kind == parse.BATCH
        self._rates.spend(source, len(body.items))
        stamp = Stamp(
            body,
            kind=None if is_batch else kind,
            source=source,
            received=datetime.now(UTC),
            max_bytes=self._max_event_bytes,
        )
        good: list[Stamped] = []
        messages: list[Message] = []
        invalid: dict[int, InvalidEvent] = {}
        headers = [(SOURCE_HEADER, source.encode())]
        topic, partitions = self._topics.events, self._topics.events_partitions()
        for index, item in enumerate(body.items):
            try:
                event = stamp.event(item)
            except InvalidEvent as error:
                invalid[index] = error
                continue
            good.append(event)
            person = event.person.encode()
            identity = None if event.message_id is None else (source, event.message_id)
            messages.append(
                Message(
                    topic,
                    partition_of(person, partitions),
                    Record(person, event.value, headers),
                    identity,
                )
            )
        if good:
            messages += [
                self._dead_letter(bytes(body.items[index]), why, source)  # type: ignore[arg-type]
                for index, why in invalid.items()
            ]
            await self._store(messages)
        for event in good:
            self._metrics.event(source, event.type)
        for why in invalid.values():
            self._metrics.rejected(source, why.reason)
        if not good:
            raise _refused(invalid, is_batch=is_batch)
        for why in invalid.values():
            log.warning("dead letter", stage=STAGE, reason=why.reason, source=source)
        return batch_stored(len(good), invalid) if is_batch else SUCCESS

    def _dead_letter(self, raw: bytes, error: InvalidEvent, source: str) -> Message:
        letter = DeadLetter(
            raw=raw,
            origin=Origin(self._topics.events, NOWHERE, NOWHERE),
            stage=STAGE,
            reason=error.reason,
            text=str(error),
            action="invalid",
            source=source,
        )
        partition = zlib.crc32(raw) % self._topics.dead_letter_partitions()
        identity = (source, f"dead-letter {hashlib.sha256(raw).hexdigest()}")
        return Message(self._topics.dead_letters, partition, letter.record(), identity)

    # -- everything else

    def _page(self, request: web.BaseRequest, path: str) -> web.Response:
        name = path.partition("?")[0].rstrip("/")
        if request.method not in ("GET", "HEAD") or name not in _PAGES:
            raise Refusal(404, "not-found", "There is nothing under this path.")
        if name == "/metrics":
            return web.Response(
                body=self._metrics.text(), headers={"content-type": "text/plain; version=0.0.4"}
            )
        if name == "/healthz":
            return _json({"alive": True})
        reasons = self._not_ready_because()
        return _json({"ready": not reasons, "because": reasons}, 503 if reasons else 200)


_PAGES: Final = frozenset(("/healthz", "/readyz", "/metrics"))


def _json(data: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type=_JSON)


def _refused(invalid: Mapping[int, InvalidEvent], *, is_batch: bool) -> Refusal:
    """The answer where nothing is any good."""
    index, error = next(iter(invalid.items()))
    text = str(error)
    if is_batch:
        text = f"None of the batch is valid, {len(invalid)} in all. batch[{index}]: {text}"
    return Refusal(413 if error.reason == "too-large" else 400, error.reason, text)


def _announced(request: web.BaseRequest) -> int:
    """The bytes that will come. Raises ``Refusal`` if they are too many; unknown is the most."""
    length = request.content_length
    if length is None:
        return MAX_BATCH_BYTES
    if length > MAX_BATCH_BYTES:
        raise parse.too_large(MAX_BATCH_BYTES)
    return length


def _guess_events(request: web.BaseRequest, kind: str, size: int) -> int:
    """About how many events will come: what there is no room for is best refused unread."""
    if kind != parse.BATCH:
        return 1
    if request.headers.get("Content-Encoding"):
        size *= GZIP_RATIO
    return max(1, min(size // EVENT_BYTES, parse.MAX_BATCH_EVENTS))


async def _read(request: web.BaseRequest, limit: int) -> bytes:
    content = request.content
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while part := await content.readany():
                size += len(part)
                if size > limit:
                    raise parse.too_large(limit)
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, "too-slow", "The body did not come in time.") from None
    except web.RequestPayloadError:
        raise Refusal(400, "bad-request", "The body is broken off or malformed.") from None
    return parts[0] if len(parts) == 1 else b"".join(parts)
