"""What one contestant did in one round, and how a contestant's process says so."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Result:
    """Events processed in a span of steady work, and the processor time it took."""

    events: int
    seconds: float
    cpu_seconds: float
    """Of the contestant's process, all threads; NaN where the system does not tell."""
    start_seconds: float = 0.0
    """From the start of a worker's process until it was ready: tables are recovered then."""
    resident_bytes: int = 0
    """Of a worker's process at its end, at most; 0 where the system does not tell."""
    disk_bytes: int = 0
    """Of a worker's table stores at its end."""

    @property
    def rate(self) -> float:
        """Events per second of the clock."""
        return self.events / self.seconds

    @property
    def cpu_micros(self) -> float:
        """Processor time of one event, in microseconds."""
        return self.cpu_seconds / self.events * 1e6


class Stopwatch:
    """Measures this process, from its construction."""

    def __init__(self) -> None:
        self._clock = time.monotonic()
        self._cpu = time.process_time()

    def stop(self, events: int) -> Result:
        """The result of ``events`` processed since the start."""
        return Result(events, time.monotonic() - self._clock, time.process_time() - self._cpu)


def report(result: Result) -> None:
    """Tell the parent process: one line of JSON on standard output."""
    print(orjson.dumps(asdict(result)).decode(), flush=True)


def parse(line: bytes) -> Result:
    """The inverse of :func:`report`."""
    return Result(**orjson.loads(line))
