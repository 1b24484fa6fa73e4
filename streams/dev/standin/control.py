"""What a test, or a person at a terminal, reads and sets: ``/_stand-in/``, without a key.

========  =====================  ============================================================
method    path                   answer
========  =====================  ============================================================
GET       ``/``                  a summary as plain text
GET       ``requests``           ``{"requests", "next", "dropped"}`` in arrival order; ``since``
                                 (a ``seq``; later ones only, and ``next`` is the one to go on
                                 from), ``limit`` (1000). With ``Accept: application/x-ndjson``
                                 one request a line, and no limit unless given
GET       ``stats``              counts, see below
GET       ``faults``             the rules in force, each with ``fired`` and ``left``
POST      ``faults``             puts the plan in the body in force; answers like GET; 400 with
                                 ``{"error"}`` for a wrong one, and the old one stays
DELETE    ``faults``             no more faults; 204. Requests already held stay held
POST      ``reset``              everything as at the start, faults included; 204
========  =====================  ============================================================

``stats``: ``requests``, ``applied`` (took effect), ``inFlight``, ``maxConcurrent``, ``byType``,
``byStatus`` (keys as text; requests that got no answer count under the fault's name),
``messageIds`` (``distinct``; ``repeated``: came more than once; ``appliedMoreThanOnce``, and
``examples`` of those, at most 20; of the requests still in the log), ``faultsFired``,
``dropped`` and ``bodiesDropped`` (see :class:`.log.RequestLog`), and what the stand-in counts
besides. Requests to the control API are in none of these.

Each stand-in names the types of its requests, and what else it shows here.

A fault plan is a list of rules. ``match`` may have ``type``, ``messageId``, ``userId``,
``anonymousId``, ``path`` (without the query; a final ``*`` stands for any rest) and ``method``;
a request has to have all of them, and an empty or missing ``match`` fits every request.
``fault`` is one of

* ``{"status": 500, "retry_after"?, "body"?, "content_type"?}``: this answer. ``retry_after`` is
  a number of seconds or a text, ``body`` a text or any JSON;
* ``{"reset": true}``: a TCP reset instead of an answer;
* ``{"hang": 30}``: no answer for so many seconds, then a TCP reset;
* ``{"slow": 0.5}``: the request is carried out and answered after so many seconds, also if the
  client has gone by then.

With ``"after_apply": true`` the request takes effect at once, as it would without the fault, and
then its answer is lost, wrong or late; without it, only ``slow`` lets it take effect. ``times``
limits how often a rule fires, ``probability`` (0 to 1) makes it fire by chance, the same chance
every time if there is a ``seed``. The first rule in the list that fires decides. An example::

    [
      {"match": {"messageId": "m-1"}, "fault": {"status": 500, "after_apply": true}, "times": 1},
      {"match": {"type": "track", "userId": "u-2"}, "fault": {"reset": true}, "times": 2},
      {"match": {"path": "/v1/tags*", "method": "POST"},
       "fault": {"status": 429, "retry_after": 2}},
      {"match": {"anonymousId": "a-3"}, "fault": {"slow": 0.05}},
      {"fault": {"status": 503, "body": "<h1>Maintenance</h1>", "content_type": "text/html"},
       "probability": 0.01, "seed": 7}
    ]
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import ClassVar, Protocol

import orjson
from aiohttp import web

from streams.dev.standin.faults import FaultPlan
from streams.dev.standin.log import Call, RequestLog
from streams.dev.standin.refusal import Refusal, number

#: Where the control API lives; the real service has nothing there.
PREFIX = "/_stand-in"

_EXAMPLES = 20
_LINES_AT_ONCE = 500
_NDJSON = "application/x-ndjson"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""What answers a request. It may raise ``Refusal``."""


class Controlled(Protocol):
    """A stand-in as the control API sees it."""

    title: ClassVar[str]
    """Its name for a person."""
    log: RequestLog
    faults: FaultPlan

    def counts(self) -> dict[str, object]:
        """What ``stats`` tells of it besides."""

    def summary(self) -> str:
        """Who or what is in it, on one line."""

    def reset(self) -> None:
        """Start anew."""


def add_routes(app: web.Application, state: Controlled, *others: tuple[str, str, Handler]) -> None:
    """Give ``app`` the control API of ``state``.

    ``others`` are (method, path behind the prefix, handler) that only this stand-in has.
    """
    control = _Control(state)
    for method, path, handler in (
        ("GET", "", control.summary),
        ("GET", "/", control.summary),
        ("GET", "/requests", control.requests),
        ("GET", "/stats", control.stats),
        ("GET", "/faults", control.faults),
        ("POST", "/faults", control.replace_faults),
        ("DELETE", "/faults", control.clear_faults),
        ("POST", "/reset", control.reset),
        *others,
    ):
        app.router.add_route(method, PREFIX + path, _refusing(handler))
    # Kept from the real API's "not found", which would be logged as a request to it.
    app.router.add_route("*", PREFIX + "/{rest:.*}", _nothing_here)


def stats(state: Controlled) -> dict[str, object]:
    """The counts as ``GET /_stand-in/stats`` gives them."""
    log = state.log
    twice = [name for name, count in log.delivered.items() if count > 1]
    return {
        "requests": log.total,
        "applied": log.applied,
        "inFlight": log.in_flight,
        "maxConcurrent": log.max_concurrent,
        "byType": dict(log.by_type),
        "byStatus": dict(log.by_status),
        "messageIds": {
            "distinct": len(log.received),
            "repeated": sum(count > 1 for count in log.received.values()),
            "appliedMoreThanOnce": len(twice),
            "examples": twice[:_EXAMPLES],
        },
        **state.counts(),
        "faultsFired": state.faults.fired,
        "dropped": log.dropped,
        "bodiesDropped": log.bodies_dropped,
    }


class _Control:
    def __init__(self, state: Controlled) -> None:
        self._state = state

    async def summary(self, _request: web.Request) -> web.StreamResponse:
        log = self._state.log
        by_type = ", ".join(f"{name} {count}" for name, count in sorted(log.by_type.items()))
        lines = [
            f"{self._state.title} stand-in",
            self._state.summary(),
            f"requests  {log.total} ({log.applied} applied): {by_type or 'none yet'}",
            f"faults    {len(self._state.faults.rules)} rules, fired {self._state.faults.fired}",
            "",
            *(_line(call) for call in log.last(10)),
        ]
        return web.Response(text="\n".join(lines) + "\n")

    async def requests(self, request: web.Request) -> web.StreamResponse:
        query, log = request.query, self._state.log
        since = number(query, "since", 0)
        if _NDJSON in request.headers.get("Accept", ""):
            limit = number(query, "limit", 0) if "limit" in query else None
            return await _lines(request, log.since(since, limit))
        shown = [call.as_json() for call in log.since(since, number(query, "limit", 1000))]
        following = shown[-1]["seq"] if shown else since
        return as_json({"requests": shown, "next": following, "dropped": log.dropped})

    async def stats(self, _request: web.Request) -> web.StreamResponse:
        return as_json(stats(self._state))

    async def faults(self, _request: web.Request) -> web.StreamResponse:
        return as_json(self._state.faults.as_json())

    async def replace_faults(self, request: web.Request) -> web.StreamResponse:
        try:
            self._state.faults.replace(orjson.loads(await request.read()))
        except ValueError as error:
            raise Refusal(400, str(error)) from error
        return as_json(self._state.faults.as_json())

    async def clear_faults(self, _request: web.Request) -> web.StreamResponse:
        self._state.faults.replace([])
        return web.Response(status=204)

    async def reset(self, _request: web.Request) -> web.StreamResponse:
        self._state.reset()
        return web.Response(status=204)


def _refusing(handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refusal as refusal:
            return as_json({"error": refusal.text}, refusal.status)

    return handle


async def _nothing_here(_request: web.Request) -> web.StreamResponse:
    return as_json({"error": "no such path in the control API"}, 404)


async def _lines(request: web.Request, calls: Iterator[Call]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": _NDJSON})
    await response.prepare(request)
    while lines := b"".join(_line_json(islice(calls, _LINES_AT_ONCE))):
        await response.write(lines)
    await response.write_eof()
    return response


def _line_json(calls: Iterable[Call]) -> Iterator[bytes]:
    for call in calls:
        yield orjson.dumps(call.as_json(), option=orjson.OPT_APPEND_NEWLINE)


def _line(call: Call) -> str:
    outcome = call.fault or call.status or "open"
    named = " ".join(filter(None, (call.type, call.event, call.message_id)))
    return f"{call.seq:>8}  {call.method:<6} {call.path}  {outcome}  {named}"


def as_json(body: object, status: int = 200) -> web.Response:
    """An answer of the control API."""
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
