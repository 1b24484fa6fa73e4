"""What Avro costs: stage records packed and as Avro, source values and published events.

    python -m bench.avro [rounds]

Processor time of one process, in microseconds for an event, interleaved; the median of the
rounds. The events are the sample log's. A stage record carries 200 of them; as Avro it is an
array of records with the same headers and the same bytes, which is the cheapest that Avro could
be there: the bytes are not taken apart.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from statistics import median
from typing import Any

import fastavro
import orjson

from streams.avro import wire
from streams.avro.codec import decoder, encoder
from streams.avro.schemas import RESOLVED_EVENT, SEGMENT_EVENT, fingerprint, parse, text_of
from streams.dev import sample
from streams.engine import packed
from streams.engine.packed import Header
from streams.errors import InvalidEvent
from streams.events import Event
from streams.source.decode import decode
from streams.source.head import read_head
from streams.source.ingest import EVENT
from streams.source.normalise import normalise
from streams.source.validate import validate

EVENTS = 200
MAX_BYTES = 32_768

STAGE = fastavro.parse_schema(
    {
        "type": "array",
        "items": {
            "type": "record",
            "name": "Item",
            "fields": [
                {"name": "kind", "type": "int"},
                {"name": "lane", "type": "string"},
                {"name": "offset", "type": "long"},
                {"name": "timestamp", "type": "long"},
                {"name": "raw", "type": "bytes"},
            ],
        },
    }
)


def main(rounds: int) -> None:
    """Measure and print the table."""
    raws, events = _events()
    heads: list[Header] = [
        (EVENT, event.get("anonymousId") or event["userId"], n, 1_793_606_400_000)
        for n, event in enumerate(events)
    ]
    stage_packed, stage_avro = packed.pack(heads, raws), _pack_avro(heads, raws)
    source, resolved = parse(text_of(SEGMENT_EVENT)), parse(text_of(RESOLVED_EVENT))
    read = decoder(source)
    values = [encoder(source, b"")(event) for event in events]
    write = encoder(resolved, wire.with_fingerprint(fingerprint(resolved)))
    rows: dict[str, tuple[int, Callable[[], Any]]] = {
        "stage record: pack": (len(stage_packed), partial(packed.pack, heads, raws)),
        "stage record: pack, as Avro": (len(stage_avro), partial(_pack_avro, heads, raws)),
        "stage record: unpack": (len(stage_packed), partial(packed.unpack, stage_packed)),
        "stage record: unpack, as Avro": (len(stage_avro), partial(_unpack_avro, stage_avro)),
        "source value: the head of JSON": (_bytes(raws), lambda: [_head(raw) for raw in raws]),
        "source value: Avro to JSON, and its head": (
            _bytes(values),
            lambda: [_head(read(value)) for value in values],
        ),
        "published event: JSON": (
            _bytes([orjson.dumps(event) for event in events]),
            lambda: [orjson.dumps(event) for event in events],
        ),
        "published event: Avro": (
            _bytes([write(event) for event in events]),
            lambda: [write(event) for event in events],
        ),
    }
    taken: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, (_, work) in rows.items():
            taken[name].append(_microseconds(work))
    print(f"| {'':<40} | bytes/event | us/event |")
    print(f"|{'-' * 42}|------------:|---------:|")
    for name, (size, _) in rows.items():
        print(f"| {name:<40} | {size / EVENTS:>11.0f} | {median(taken[name]):>8.2f} |")


def _events() -> tuple[list[bytes], list[Event]]:
    raws: list[bytes] = []
    events: list[Event] = []
    for record in sample.load():
        raw = record.value
        try:
            event = decode(raw, max_bytes=MAX_BYTES)
            validate(event)
        except InvalidEvent:
            continue
        normalise(event, "source", 0, len(events), 1_793_606_400.0)
        raws.append(raw)
        events.append(event)
        if len(events) == EVENTS:
            break
    return raws, events


def _pack_avro(heads: list[Header], raws: list[bytes]) -> bytes:
    stream = BytesIO()
    names = ("kind", "lane", "offset", "timestamp", "raw")
    items = [
        dict(zip(names, (*head, raw), strict=True)) for head, raw in zip(heads, raws, strict=True)
    ]
    fastavro.schemaless_writer(stream, STAGE, items)
    return stream.getvalue()


def _unpack_avro(value: bytes) -> Any:
    return fastavro.schemaless_reader(BytesIO(value), STAGE, None)


def _head(raw: bytes) -> object:
    return read_head(raw, max_bytes=MAX_BYTES)


def _bytes(values: list[bytes]) -> int:
    return sum(map(len, values))


def _microseconds(work: Callable[[], Any]) -> float:
    repeats = 10
    started = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - started) / repeats / EVENTS * 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
