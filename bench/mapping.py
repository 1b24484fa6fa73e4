"""What mapping costs: an event through Encharge's five presets, against its JSON.

    python -m bench.mapping [rounds]

Interleaved, on the first event of each type in the sample log and on the smallest that there
are; medians of the rounds in processor time, as ratios to reading and writing the same event
with orjson.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import orjson

from streams.destinations.encharge import Encharge
from streams.dev import sample
from streams.events import Event

REPEATS = 1500
TYPES = ("track", "page", "identify", "group", "alias")

_IDS = {"messageId": "m", "timestamp": "2026-01-31T09:00:00.000Z", "userId": "u"}
SMALL: dict[str, Event] = {
    "small track": {"type": "track", "event": "X", **_IDS},
    "small page": {"type": "page", **_IDS},
    "small identify": {"type": "identify", **_IDS, "traits": {"email": "a@b.c"}},
    "small group": {"type": "group", **_IDS, "groupId": "g"},
    "small alias": {"type": "alias", **_IDS, "previousId": "p"},
}


def main(rounds: int) -> None:
    """Measure and print the table."""
    encharge = Encharge(api_key="k")

    def map_event(event: Event) -> None:
        for subscription in encharge.candidates(event["type"]):
            if subscription.matches(event):
                subscription.build(event)

    print(f"| {'event':<14} | bytes | JSON us | mapping us | mapping / JSON |")
    print("|----------------|------:|--------:|-----------:|---------------:|")
    for kind, event in {**_events(), **SMALL}.items():
        raw = orjson.dumps(event)
        json_us, mapping_us = [], []
        for _ in range(rounds):
            json_us.append(_microseconds(partial(_read_and_write, raw)))
            mapping_us.append(_microseconds(partial(map_event, event)))
        ratio = median(m / j for m, j in zip(mapping_us, json_us, strict=True))
        print(
            f"| {kind:<14} | {len(raw):>5} | {median(json_us):>7.2f} | "
            f"{median(mapping_us):>10.2f} | {ratio:>14.2f} |"
        )


def _events() -> dict[str, Event]:
    found: dict[str, Event] = {}
    for record in sample.load():
        try:
            event = orjson.loads(record.value)
        except orjson.JSONDecodeError:
            continue
        if isinstance(event, dict) and event.get("type") in TYPES:
            found.setdefault(event["type"], event)
    return {kind: found[kind] for kind in TYPES}


def _read_and_write(raw: bytes) -> bytes:
    return orjson.dumps(orjson.loads(raw))


def _microseconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(REPEATS):
        call()
    return (time.process_time() - started) / REPEATS * 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 21)
