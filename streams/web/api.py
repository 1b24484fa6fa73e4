"""What the page asks for, as JSON. What is personal, or acts, wants the token (docs/page.md)."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import orjson
import structlog
from aiohttp import hdrs, web
from pydantic import SecretStr

from streams.dead_letters.archive import Archive, missing, opened, plan, redrive_all
from streams.dead_letters.letter import Letter, LetterId, as_object, value_object
from streams.dead_letters.selection import Selection
from streams.destinations.base import Destination
from streams.destinations.registry import Configured
from streams.errors import EventError, StreamsError
from streams.events import Event
from streams.explain import Explainer
from streams.lookup import as_object as person_object
from streams.lookup import look_up
from streams.lookup import opened as opened_rows
from streams.settings import Settings
from streams.source.decode import decode
from streams.telemetry.metrics import AllMetrics
from streams.web import state
from streams.web.aside import Aside, BusyError

log = structlog.get_logger(__name__)

ASIDE_SECONDS: Final = 15.0
"""How long reading a topic may take."""
STATE_SECONDS: Final = 1.0
"""How old the live numbers may be: however many look at them, they are made once."""
NEWEST: Final = 200
"""Records of each partition of the dead letters that are looked at."""
LISTED: Final = 50
"""Dead letters on the page."""
MAX_REDRIVEN: Final = 50
"""Letters in one request."""
MAX_VALUE_BYTES: Final = 64 * 1024
"""Of a dead letter's original value; more is not shown."""
MAX_ID: Final = 1_000
SHOWN_HEADERS: Final = frozenset({"content-type", "accept"})
"""Of a request that would be sent. The others may hold keys."""
HIDDEN: Final = "(hidden)"

Handler = Callable[[web.Request], Awaitable[web.Response]]
Result = TypeVar("Result")


class RefusedError(StreamsError):
    """A request that is wrong."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """The endpoints below ``/api/``."""

    def __init__(
        self,
        settings: Settings,
        metrics: AllMetrics,
        destinations: Sequence[Configured],
        not_ready: Callable[[], dict[Any, str]],
        rehearsed: Callable[[], Sequence[Destination]],
    ) -> None:
        """``not_ready`` tells why the worker moves no events, by reason.

        ``rehearsed`` makes the configured destinations anew, for an event to be tried against:
        what is presumed of answers then must not be taken for what was answered.
        """
        self._settings = settings
        self._metrics = metrics
        self._not_ready = not_ready
        token = settings.streams_web_token
        self._token = token.get_secret_value().encode() if token is not None else b""
        self._names = [each.destination.name for each in destinations]
        self._secrets = _secrets([settings, *(each.settings for each in destinations)])
        self._rehearsed = rehearsed
        self._aside = Aside(ASIDE_SECONDS)
        self._state = b""
        self._state_until = 0.0

    def routes(self) -> list[web.RouteDef]:
        """What is served, and how."""
        return [
            web.get("/api/state", self._tell_state),
            web.get("/api/dead-letters", self._guarded(self._list_letters)),
            web.get("/api/dead-letters/{id}", self._guarded(self._show_letter)),
            web.post("/api/redrive", self._guarded(self._redrive)),
            # An id is personal: not in an address, which others write into logs.
            web.post("/api/identity", self._guarded(self._identity)),
            web.post("/api/explain", self._guarded(self._explain)),
        ]

    # -- who may

    def _guarded(self, handler: Handler) -> Handler:
        """``handler`` for those who know the token, with its errors as answers."""

        async def handle(request: web.Request) -> web.Response:
            try:
                self._admit(request)
                return await handler(request)
            except (StreamsError, TimeoutError) as error:
                return _failure(error)

        return handle

    def _admit(self, request: web.Request) -> None:
        if not self._token:
            raise RefusedError(403, "STREAMS_WEB_TOKEN is not set: this worker shows counts only")
        if not self._knows_token(request):
            raise RefusedError(401, "the token (STREAMS_WEB_TOKEN) is missing or another one")

    def _knows_token(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        same = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token)
        return same and scheme.lower() == "bearer"

    # -- the numbers

    async def _tell_state(self, _: web.Request) -> web.Response:
        now = time.monotonic()
        if now >= self._state_until:
            self._state = orjson.dumps(self._look())
            self._state_until = now + STATE_SECONDS
        return web.Response(body=self._state, content_type="application/json")

    def _look(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "at": time.time(),
            "appId": settings.streams_app_id,
            "dryRun": settings.streams_dry_run,
            "isGuarded": bool(self._token),
            "notReady": [{"reason": r, "text": t} for r, t in self._not_ready().items()],
            "names": self._names,
            "stages": {"resolve": settings.stage_topic, "route": settings.resolved_topic},
            "destinations": state.destinations(self._metrics.collect()),
        }

    # -- dead letters

    async def _list_letters(self, _: web.Request) -> web.Response:
        async def newest() -> list[Letter]:
            async with opened(self._settings, hears_log=False) as reader:
                return (await Archive(reader).newest(NEWEST)).in_order()

        letters = await self._aside.ask(newest)
        return _json(
            {
                "letters": [_listed(letter) for letter in reversed(letters[-LISTED:])],
                "more": len(letters) > LISTED,
            }
        )

    async def _show_letter(self, request: web.Request) -> web.Response:
        id = _letter_id(request.match_info["id"])

        async def one() -> list[Letter]:
            async with opened(self._settings, hears_log=False) as reader:
                collected = await Archive(reader).collect(Selection(ids=[id]), values=True)
                return collected.in_order()

        letters = await self._aside.ask(one)
        if not letters:
            raise RefusedError(404, f"no dead letter {id}")
        [letter] = letters
        is_shown = letter.size <= MAX_VALUE_BYTES
        value = value_object(letter) if is_shown else {"value": None}
        return _json({**_listed(letter), "excerpt": letter.excerpt or None, **value})

    async def _redrive(self, request: web.Request) -> web.Response:
        given = (await _object(request)).get("ids")
        if type(given) is not list or not 1 <= len(given) <= MAX_REDRIVEN:
            raise RefusedError(400, f'"ids" is a list of 1 to {MAX_REDRIVEN} ids')
        ids = [_letter_id(id) for id in given]

        async def redrive() -> dict[str, Any]:
            async with opened(self._settings, hears_log=False) as reader:
                archive = Archive(reader)
                letters = (await archive.collect(Selection(ids=ids))).in_order()
                topics = {letter.origin.topic for letter in letters}
                prepared = plan(letters, await reader.partitions_of(topics), again=False)
                done, refused = 0, list(prepared.refused)
                if prepared.letters:
                    done, late = await redrive_all(archive, self._settings, prepared.letters)
                    refused += late
                return {
                    "redriven": done,
                    "redrivenBefore": [str(letter.id) for letter in prepared.before],
                    "refused": [{"id": str(letter.id), "why": why} for letter, why in refused],
                    "missing": [str(id) for id in missing(ids, letters)],
                }

        outcome = await self._aside.ask(redrive)
        log.info("redriven from the page", letters=outcome["redriven"], peer=request.remote)
        return _json(outcome)

    # -- people

    async def _identity(self, request: web.Request) -> web.Response:
        subject = (await _object(request)).get("id")
        if type(subject) is not str or not 1 <= len(subject) <= MAX_ID:
            raise RefusedError(400, f'"id" is a text of 1 to {MAX_ID} characters')

        async def ask() -> dict[str, Any]:
            async with opened_rows(self._settings, hears_log=False) as rows:
                found = await look_up(subject, rows)
                return person_object(subject, self._settings.stage_topic, found)

        return _json(await self._aside.ask(ask))

    # -- mappings

    def _answer(self, event: Event) -> dict[str, Any]:
        # By the configured subscriptions, whatever an event asks for.
        return Explainer(lambda _: self._rehearsed()).of_event(event)

    async def _explain(self, request: web.Request) -> web.Response:
        try:
            event = decode(await request.read(), max_bytes=self._settings.streams_max_event_bytes)
        except EventError as error:
            raise RefusedError(400, str(error)) from error
        answer = await asyncio.to_thread(self._answer, event)
        for made in answer["requests"]:
            made["headers"] = {
                name: value if name.lower() in SHOWN_HEADERS else HIDDEN
                for name, value in made["headers"].items()
            }
        text = orjson.dumps(answer).decode()
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return web.Response(text=text, content_type="application/json")


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        found = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"not JSON: {error}") from error
    if type(found) is not dict:
        raise RefusedError(400, "not a JSON object")
    return found


def _letter_id(text: Any) -> LetterId:
    found = LetterId.parse(text) if type(text) is str else None
    if found is None:
        raise RefusedError(400, "an id is partition@offset, such as 3@1207")
    return found


def _listed(letter: Letter) -> dict[str, Any]:
    return {**as_object(letter), "whyNot": letter.why_not()}


def _secrets(all_settings: Sequence[Settings]) -> list[str]:
    """The secrets of settings, as they would stand in JSON; the longest first."""
    values = (getattr(each, name) for each in all_settings for name in Settings.model_fields)
    texts = {value.get_secret_value() for value in values if isinstance(value, SecretStr)}
    return sorted((orjson.dumps(text).decode()[1:-1] for text in texts if text), key=len)[::-1]


def _json(found: Any) -> web.Response:
    return web.Response(body=orjson.dumps(found), content_type="application/json")


def _failure(error: StreamsError | TimeoutError) -> web.Response:
    text, headers = str(error), {}
    if isinstance(error, RefusedError):
        status = error.status
        headers = {hdrs.WWW_AUTHENTICATE: "Bearer"} if status == 401 else {}
    elif isinstance(error, BusyError):
        status = 503
    elif isinstance(error, TimeoutError):
        status = 504
        text = (
            f"not done within {ASIDE_SECONDS:g} s: `streams dlq` and `streams identity` take the "
            "time that they need"
        )
    else:
        status = 502
    return web.json_response({"error": text}, status=status, headers=headers)
