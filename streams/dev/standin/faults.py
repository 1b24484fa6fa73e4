"""Failing on purpose: which requests, how, and how often.

A plan is a list of rules, tried in order for each request; the first that matches, has uses left
and wins its draw decides. How a plan is written is shown in :mod:`.control`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_RULE_KEYS = frozenset({"match", "fault", "times", "probability", "seed"})
_KINDS = ("status", "reset", "hang", "slow")
_EXTRAS = {
    "status": {"retry_after", "body", "content_type", "after_apply"},
    "reset": {"after_apply"},
    "hang": {"after_apply"},
    "slow": {"after_apply"},
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule can match of a request. Several people: a rule matches if one does."""

    method: str
    path: str
    type: str | None
    message_id: str | None
    user_ids: frozenset[str]
    anonymous_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a request.

    ``kind`` is status, reset, hang or slow; ``seconds`` is for hang and slow. ``after_apply``:
    the request takes effect first, and only its answer is lost, wrong or late.
    """

    kind: str
    status: int = 0
    seconds: float = 0.0
    retry_after: str | None = None
    body: object = None
    content_type: str | None = None
    after_apply: bool = False

    @property
    def name(self) -> str:
        """For the request log, such as ``status 500`` or ``reset after apply``."""
        shown = f"status {self.status}" if self.kind == "status" else self.kind
        return f"{shown} after apply" if self.after_apply else shown


@dataclass(slots=True)
class Rule:
    """One rule of a plan, as given in ``source``, and how often it has fired."""

    source: dict[str, object]
    match: dict[str, str]
    fault: Fault
    left: int | None
    probability: float
    draw: random.Random = field(repr=False)
    fired: int = 0

    def matches(self, subject: Subject) -> bool:
        """Whether ``subject`` has everything that the rule asks for."""
        return all(_HOLDS[key](wanted, subject) for key, wanted in self.match.items())

    def as_json(self) -> dict[str, object]:
        """The rule, how often it has fired and how many uses are left (null: no limit)."""
        return {**self.source, "fired": self.fired, "left": self.left}


def _path_fits(wanted: str, path: str) -> bool:
    return path.startswith(wanted[:-1]) if wanted.endswith("*") else path == wanted


_HOLDS: dict[str, Callable[[str, Subject], bool]] = {
    "type": lambda wanted, subject: subject.type == wanted,
    "messageId": lambda wanted, subject: subject.message_id == wanted,
    "userId": lambda wanted, subject: wanted in subject.user_ids,
    "anonymousId": lambda wanted, subject: wanted in subject.anonymous_ids,
    "path": lambda wanted, subject: _path_fits(wanted, subject.path),
    "method": lambda wanted, subject: subject.method == wanted.upper(),
}


class FaultPlan:
    """The rules in force. Without any, a request costs nothing more."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.fired = 0

    def replace(self, plan: object) -> None:
        """Put ``plan``, decoded from JSON, in force; the old one goes.

        Raises:
            ValueError: something in it is wrong; the text says what. The old plan stays.
        """
        if not isinstance(plan, list):
            raise ValueError("a fault plan is a list of rules")
        self.rules = [_rule(number, given) for number, given in enumerate(plan)]

    def clear(self) -> None:
        """No faults any more, and none counted."""
        self.rules = []
        self.fired = 0

    def choose(self, subject: Subject) -> Fault | None:
        """The fault for this request, used up by one; None for none."""
        for rule in self.rules:
            if rule.left == 0 or not rule.matches(subject):
                continue
            if rule.probability < 1.0 and rule.draw.random() >= rule.probability:
                continue
            rule.fired += 1
            self.fired += 1
            if rule.left is not None:
                rule.left -= 1
            return rule.fault
        return None

    def as_json(self) -> list[dict[str, object]]:
        """The rules as :meth:`Rule.as_json` shows them."""
        return [rule.as_json() for rule in self.rules]


def _rule(number: int, given: object) -> Rule:
    where = f"rule {number}"
    if not isinstance(given, dict):
        raise ValueError(f"{where}: must be an object")
    _only(given, _RULE_KEYS, where)
    match = given.get("match", {})
    if not isinstance(match, dict):
        raise ValueError(f"{where}: match must be an object")
    _only(match, _HOLDS, f"{where}: match")
    for key, wanted in match.items():
        if not isinstance(wanted, str):
            raise ValueError(f"{where}: match.{key} must be text")
    times = given.get("times")
    if times is not None and (type(times) is not int or times < 1):
        raise ValueError(f"{where}: times must be a whole number above 0")
    probability = given.get("probability", 1.0)
    if not _is_number(probability) or not 0 <= probability <= 1:
        raise ValueError(f"{where}: probability must be a number from 0 to 1")
    seed = given.get("seed")
    if seed is not None and type(seed) is not int:
        raise ValueError(f"{where}: seed must be a whole number")
    return Rule(
        source=given,
        match=match,
        fault=_fault(where, given.get("fault")),
        left=times,
        probability=float(probability),
        draw=random.Random(seed),
    )


def _fault(where: str, given: object) -> Fault:
    if not isinstance(given, dict):
        raise ValueError(f"{where}: fault must be an object")
    kinds = [kind for kind in _KINDS if kind in given]
    if len(kinds) != 1:
        raise ValueError(f"{where}: fault needs exactly one of {', '.join(_KINDS)}")
    kind = kinds[0]
    _only(given, {kind, *_EXTRAS[kind]}, f"{where}: fault")
    after_apply = given.get("after_apply", False)
    if not isinstance(after_apply, bool):
        raise ValueError(f"{where}: after_apply must be true or false")
    value = given[kind]
    if kind == "reset":
        if value is not True:
            raise ValueError(f"{where}: reset must be true")
        return Fault(kind, after_apply=after_apply)
    if kind != "status":
        if not _is_number(value) or value < 0:
            raise ValueError(f"{where}: {kind} must be a number of seconds")
        return Fault(kind, seconds=float(value), after_apply=after_apply)
    if type(value) is not int or not 200 <= value <= 599:
        raise ValueError(f"{where}: status must be a whole number from 200 to 599")
    return Fault(
        kind,
        status=value,
        retry_after=_retry_after(where, given.get("retry_after")),
        body=given.get("body"),
        content_type=_optional_text(where, "content_type", given.get("content_type")),
        after_apply=after_apply,
    )


def _retry_after(where: str, value: object) -> str | None:
    # A header cannot hold a line break; anything else goes out as it is, nonsense too, since a
    # client has to live with that.
    if _is_number(value):
        return str(value)
    return _optional_text(where, "retry_after", value)


def _optional_text(where: str, key: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{where}: {key} must be text on one line")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _only(given: dict[str, object], known: Iterable[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}")
