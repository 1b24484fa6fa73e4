"""What one stand-in knows and how it is set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from streams.dev.encharge.account import Account
from streams.dev.encharge.people import People
from streams.dev.standin.faults import FaultPlan
from streams.dev.standin.log import RequestLog


@dataclass(slots=True)
class StandIn:
    """A stand-in's settings and everything that has happened to it.

    Attributes:
        keys: The keys that both APIs accept; None accepts any that is not empty.
        max_log_entries: Requests remembered, in the log and on the timelines together.
        max_body_bytes: Bytes of request bodies remembered.
        people, account, faults, log: What the requests have made of it. A program that runs
            the server in its own process may read them; writing is the server's.
    """

    title: ClassVar[str] = "Encharge"

    keys: frozenset[str] | None = None
    max_log_entries: int = 1_000_000
    max_body_bytes: int = 256 * 1024 * 1024
    people: People = field(init=False)
    account: Account = field(init=False)
    faults: FaultPlan = field(init=False)
    log: RequestLog = field(init=False)

    def __post_init__(self) -> None:
        self.people = People()
        self.account = Account()
        self.faults = FaultPlan()
        self.log = RequestLog(self.max_log_entries, self.max_body_bytes)

    def accepts(self, key: str | None) -> bool:
        """Whether ``key`` opens the account."""
        return bool(key) and (self.keys is None or key in self.keys)

    def counts(self) -> dict[str, object]:
        """What the control API's ``stats`` tells besides."""
        return {
            "people": len(self.people),
            "anonymous": sum(person.anonymous for person in self.people),
        }

    def summary(self) -> str:
        """Who there is, on one line."""
        counts = self.counts()
        return f"people    {counts['people']} ({counts['anonymous']} anonymous)"

    def reset(self) -> None:
        """Start anew: nobody, nothing defined, no faults, an empty log. Keys stay."""
        self.people = People()
        self.account = Account()
        self.faults.clear()
        self.log.clear()
