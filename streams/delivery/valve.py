"""How many calls may be open right now: what circuit, limit and Retry-After come to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import structlog

from streams.delivery.circuit import Circuit, State
from streams.delivery.lanes import Call
from streams.delivery.limit import Limit
from streams.delivery.line import Line
from streams.delivery.retry import RetryClock, retry_after
from streams.delivery.sender import Answer
from streams.destinations.base import Destination, Verdict
from streams.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

EXCERPT_BYTES = 500


class Valve:
    """Learns from every answer, and opens and closes a line by it."""

    def __init__(
        self,
        line: Line,
        *,
        destination: Destination,
        circuit: Circuit,
        limit: Limit,
        metrics: Metrics,
        on_misconfigured: Callable[[str | None], None],
    ) -> None:
        """``on_misconfigured`` is told why the destination refuses us, and None when it stops."""
        self._line = line
        self._name = destination.name
        self._advice = destination.advice
        self._circuit = circuit
        self._limit = limit
        self._metrics = metrics
        self._on_misconfigured = on_misconfigured
        self._clock = RetryClock()
        self._timer: asyncio.TimerHandle | None = None
        self.is_halted = False
        self.is_shut = False
        """Whether nothing but a probe may be called."""
        metrics.before_reading(self._measure)
        self._regulate()

    @property
    def is_refused(self) -> bool:
        """Whether the destination does not take us."""
        return self._circuit.state is State.REFUSED

    def clock(self) -> float:
        """The time of retrying, in seconds. It stands still while nobody may be called."""
        return self._clock.read(monotonic())

    def answered(self, call: Call, answer: Answer, verdict: Verdict, started: float) -> None:
        """A call that began at ``started`` (seconds, monotonic) has come to its end."""
        circuit, now, before = self._circuit, monotonic(), self._circuit.state
        if verdict is Verdict.MISCONFIGURED:
            circuit.refused(started, now)
        elif verdict is Verdict.RETRY and not 400 <= answer.status < 500:
            circuit.failed(call.key, started, now)
        else:
            if answer.status == 429:
                wait = retry_after(answer.headers.get("retry-after"))
                self._limit.too_many(started, now, wait)
            else:
                self._limit.taken()
            circuit.answered(started, now, is_final=verdict is not Verdict.RETRY)
        if circuit.state is not before:
            self._tell(before, answer)
        self._regulate()

    def not_made(self, call: Call) -> None:
        """A call that was handed out is not made."""
        if call.is_probe:
            self._circuit.unused()
            self._regulate()

    def halt(self) -> None:
        """Shut, for good."""
        self.is_halted = True
        self._regulate()

    def _regulate(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now, circuit, limit = monotonic(), self._circuit, self._limit
        if self._line.withdraw_probe():
            circuit.unused()
        resting = limit.rests_until > now
        self.is_shut = self.is_halted or resting or circuit.is_open
        if not self.is_shut:
            self._clock.go(now)
            self._line.allow(limit.calls)
            return
        self._clock.stop(now)
        self._line.allow(0)
        if self.is_halted:
            return
        if resting:
            self._again_at(limit.rests_until, now)
        elif circuit.may_probe(now):
            circuit.probe()
            self._line.grant_probe()
        elif circuit.probe_at > now:
            self._again_at(circuit.probe_at, now)

    def _again_at(self, moment: float, now: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(moment - now, self._regulate)

    def _tell(self, before: State, answer: Answer) -> None:
        # Not what it answered: that may repeat what was sent, and anyone may read /readyz.
        state, status = self._circuit.state, answer.status
        if state is State.REFUSED:
            advice = self._advice(status)
            log.error("destination refuses us", destination=self._name, status=status, do=advice)
            self._on_misconfigured(f"{advice} (status {status})")
            return
        if before is State.REFUSED:
            self._on_misconfigured(None)
        if state is State.OUTAGE:
            log.warning(
                "destination is out of order", destination=self._name, status=answer.status or None
            )
        else:
            log.info("destination takes us again", destination=self._name)

    def _measure(self) -> None:
        self._metrics.circuit(int(self._circuit.state))
        self._metrics.concurrency_limit(self._limit.calls)


def excerpt(answer: Answer) -> str:
    """The beginning of what was answered, or why nothing was, for a person."""
    return answer.body[:EXCERPT_BYTES].decode("utf-8", "replace") or answer.text
