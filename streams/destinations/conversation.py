"""Calls that depend on answers, without making any.

A talk is a generator: it yields the call to make, is sent the answer, and ends when the event is
delivered. Who drives it (:mod:`streams.delivery`) sends, retries and gives up by the rules that
hold for every call, so a talk knows nothing of failures: it only goes on after an answer that
was taken, or that it said it can use.

A call may be made again at any point, and the whole begins anew after a crash. So each step must
be safe to repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import orjson

from streams.destinations.request import Request


class Reply(NamedTuple):
    """An answer as a talk sees it: ``data`` is the JSON of it, None if it is none."""

    status: int
    data: Any = None

    @classmethod
    def read(cls, status: int, body: bytes) -> Reply:
        """The reply in an HTTP answer."""
        try:
            return cls(status, orjson.loads(body))
        except orjson.JSONDecodeError:
            return cls(status)


class Step(NamedTuple):
    """A call of a talk.

    ``accepts`` are statuses that the talk can use although they would mean that the event is
    refused, such as the 404 to a question. ``presumed`` is the data of the usual answer: with it
    the rest can be told without asking anybody.
    """

    request: Request
    accepts: frozenset[int] = frozenset()
    presumed: Any = None


Talk: TypeAlias = Generator[Step, Reply, None]


class Conversation:
    """One event's talk with a destination, begun when its first call is asked for.

    Not before: what is known of the other side by then saves calls. ``about`` is the
    destination's own word on what it is for, by which two can be merged.
    """

    __slots__ = ("_begin", "_reply", "_step", "_talk", "about", "ignored")

    def __init__(self, begin: Callable[[Counter[str]], Talk], about: Any = None) -> None:
        """``begin`` is given the counter that :attr:`ignored` becomes."""
        self.about = about
        self.ignored: Counter[str] = Counter()
        """Values that the destination cannot take and that are left out, by reason."""
        self._begin = begin
        self._talk: Talk | None = None
        self._step: Step | None = None
        self._reply: Reply | None = None

    def request(self) -> Request | None:
        """The call to make now: the same one until it is answered. None: it is over.

        Raises ``EventError`` when the answers leave the event nowhere to go.
        """
        if self._talk is None:
            self._talk = self._begin(self.ignored)
            self._step = next(self._talk, None)
        elif self._reply is not None:
            reply, self._reply = self._reply, None
            # Over, should it raise.
            self._step = None
            try:
                self._step = self._talk.send(reply)
            except StopIteration:
                return None
        return self._step.request if self._step is not None else None

    def accepts(self, status: int) -> bool:
        """Whether an answer that would mean a refusal is one it goes on from."""
        return self._step is not None and status in self._step.accepts

    def answered(self, reply: Reply) -> None:
        """The call was taken, or answered with a status that it accepts."""
        self._reply = reply

    def rehearse(self) -> Iterator[Request]:
        """Every call, as if each were answered as usual. Ends the conversation."""
        while (request := self.request()) is not None:
            yield request
            assert self._step is not None  # noqa: S101 - it has a request
            self.answered(Reply(200, self._step.presumed))


def calls_of(made: Request | Conversation) -> Iterable[Request]:
    """All calls: of a conversation, those that the usual answers lead to, which ends it."""
    return made.rehearse() if isinstance(made, Conversation) else (made,)
