"""Dumps of a topic: ``kcat -J``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import orjson

from streams.replay.times import iso
from streams.source.envelopes.base import Inner
from streams.source.normalise import default_id


class _Line(msgspec.Struct):
    topic: str
    partition: int
    offset: int
    payload: str | dict[str, Any] | None
    ts: int | None = None


_read = msgspec.json.Decoder(_Line).decode


class Kcat:
    """{topic, partition, offset, ts, key, payload}: payload is text, or an object (Avro).

    An event without a messageId gets the one that a worker gives it when it reads that
    record of the topic, so that both are one.
    """

    def unwrap(self, line: bytes) -> Iterable[Inner] | None:
        """See ``Envelope``."""
        try:
            record = _read(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        payload = record.payload
        if not payload:
            return ()
        return (
            Inner(
                payload.encode() if isinstance(payload, str) else orjson.dumps(payload),
                message_id=default_id(record.topic, record.partition, record.offset),
                produced_at=_time(record.ts),
            ),
        )


def _time(ts: int | None) -> str | None:
    if ts is None or ts <= 0:
        return None
    try:
        return iso(ts * 1000)
    except (OverflowError, ValueError):
        return None
