"""Bodies of /v1/batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from streams.source.envelopes.base import Inner

_MERGED: Final = ("context", "integrations")
_SHARED: Final = ("sentAt", "receivedAt")


class Batch:
    """{batch: [event, ...], context, integrations, sentAt}: what they share is each one's."""

    def unwrap(self, line: bytes) -> Iterable[Inner] | None:
        """See ``Envelope``."""
        try:
            body = orjson.loads(line)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(body, dict) or not isinstance(body.get("batch"), list):
            return None
        return [Inner(orjson.dumps(_complete(event, body))) for event in body["batch"]]


def _complete(event: Any, body: dict[str, Any]) -> Any:
    if not isinstance(event, dict):
        return event
    for name in _MERGED:
        shared, own = body.get(name), event.get(name)
        if isinstance(shared, dict) and (own is None or isinstance(own, dict)):
            event[name] = {**shared, **(own or {})}
    for name in _SHARED:
        if event.get(name) is None and body.get(name) is not None:
            event[name] = body[name]
    return event
