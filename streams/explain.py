"""What would be sent for an event: no broker, no network, no tables on disk."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
import structlog

from streams.destinations.base import Destination, Request
from streams.destinations.conversation import calls_of
from streams.errors import EventError, InvalidEvent, PayloadError, SettingsError
from streams.events import Event
from streams.identity.rules import Identities
from streams.source.decode import decode
from streams.source.normalise import normalise
from streams.source.validate import validate

DELETE: Final = "delete"

log = structlog.get_logger(__name__)

Configure = Callable[[Sequence[Mapping[str, Any]] | None], Sequence[Destination]]
"""Makes the destinations: one with the subscriptions given, or (None) the configured ones."""


class Explainer:
    """Answers lines of NDJSON in the form of INTERFACE's ``streams explain``.

    Like Segment's own runtime it takes an event as it is: what the worker would refuse
    at the topic (no ids, say) is mapped here all the same. With ``learns`` the identities
    that the lines teach are applied to later lines.
    """

    def __init__(self, configure: Configure, *, learns: bool = False) -> None:
        self._configure = configure
        self._configured = configure(None)
        # Everything is read once and in order: no rows to read, no past to forget.
        self._identities = Identities(lambda _: None, lambda _: ()) if learns else None

    def lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """One answer for each line that is not blank, in order."""
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield orjson.dumps(self._answer(line, number), option=orjson.OPT_APPEND_NEWLINE)

    def of_event(self, event: Event) -> dict[str, Any]:
        """The answer for one event, whatever it is called: it brings no subscriptions along."""
        return self._answer(orjson.dumps({"event": event, "op": event.get("type")}), 1)

    def _answer(self, line: bytes, number: int) -> dict[str, Any]:
        case_id: Any = None
        try:
            read = decode(line, max_bytes=sys.maxsize)
            event, destinations, operation = read, self._configured, read.get("type")
            if "event" in read and type(read["event"]) is dict:
                case_id, event, operation = read.get("id"), read["event"], read.get("op")
                if "subscriptions" in read:
                    destinations = self._configure(read["subscriptions"])
            if self._identities is not None:
                self._resolve(self._identities, event, number)
            requests, error = _requests(destinations, event, operation)
        except (EventError, SettingsError) as failure:
            requests, error = [], f"line {number}: {failure}"
        except Exception as failure:
            # A mistake of ours must not keep the other lines from their answers.
            log.exception("explain failed", line=number)
            requests, error = [], f"line {number}: {type(failure).__name__}: {failure}"
        return {
            "id": case_id,
            "requests": [
                {"method": r.method, "url": r.url, "headers": dict(r.headers), "body": r.body}
                for r in requests
            ],
            "error": error,
            "outcome": _outcome(requests, error),
        }

    @staticmethod
    def _resolve(identities: Identities, event: Event, position: int) -> None:
        try:
            validate(event)
        except InvalidEvent:
            # It teaches nothing and belongs to nobody; what it maps to is still told.
            return
        normalise(event, "stdin", 0, position, 0.0)
        identities.resolve(event, position)


def _requests(
    destinations: Sequence[Destination], event: Event, operation: Any
) -> tuple[list[Request], str | None]:
    requests: list[Request] = []
    error: str | None = None
    for destination in destinations:
        if operation == DELETE:
            # Where nobody is named, nobody is to be erased.
            with contextlib.suppress(PayloadError):
                requests += calls_of(destination.delete(event))
            continue
        for subscription in destination.subscriptions:
            if subscription.matches(event):
                try:
                    requests += calls_of(subscription.build(event))
                except PayloadError as failure:
                    # The other subscriptions fire all the same.
                    error = error or f"{subscription.name}: {failure}"
    return requests, error


def _outcome(requests: Sequence[Request], error: str | None) -> str:
    if error is not None:
        return "invalid"
    return "delivered" if requests else "filtered"
