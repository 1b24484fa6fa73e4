"""What must become of a history, told by a program that is slow and obvious.

It knows the guarantees (G2, G3, the ADRs) and how an event is mapped, and nothing of the
pipeline: no partitions, tables, positions, lanes or crashes, and nothing of ``streams.identity``.
One household after the other, one event after the other.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from streams.destinations.encharge import Encharge
from streams.events import Event
from tests.support.households import History, lane, text

_BASE = "http://encharge"
_ENCHARGE = Encharge(api_key="-", api_url=_BASE, ingest_url=f"{_BASE}/v1")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is to be made. ``name`` is unlike that of any other call of the history."""

    name: str
    lane: str
    household: int
    method: str
    path: str
    body: Any
    is_before_deletion: bool
    """Whether a later event of the household deletes somebody."""


def name_of(method: str, path: str, body: Any) -> str:
    """What tells a call from all others of its history."""
    if method == "DELETE":
        return path
    if body["type"] == "group":
        return str(body["properties"]["externalId"])
    return str(body["messageId"])


@dataclass
class Knowledge:
    """Who is who in a household."""

    devices: set[str]
    alias: dict[str, str] = field(default_factory=dict)
    login: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)

    def chain(self, user: str) -> list[str]:
        """An id and those that replaced it, one after the other."""
        found = [user]
        while found[-1] in self.alias:
            found.append(self.alias[found[-1]])
        return found

    def current(self, user: str | None) -> str | None:
        """The id that stands for a user now."""
        return None if user is None else self.chain(user)[-1]

    def hear(self, event: Event) -> None:
        """Learn what an event says."""
        device, user = event.get("anonymousId"), event.get("userId")
        if event["type"] == "delete":
            self._forget(user, device)
            return
        if event["type"] == "alias" and event["previousId"] != user:
            self._replace(event["previousId"], event["userId"])
        if device is None:
            return
        before_user, before_email = self.login.get(device, (None, None))
        if user is None:
            user = before_user
        email = _email(event)
        if email is None and self.current(user) == self.current(before_user):
            email = before_email
        self.login[device] = (user, email)

    def _replace(self, old: str, new: str) -> None:
        if old in self.chain(new):
            del self.alias[new]  # the last word on a cycle: its userId is the end
        self.alias[old] = new
        if old in self.devices:
            # To name a device in an alias is to log in there. An email that came before is of
            # the same person, that of another user is not.
            user, email = self.login.get(old, (None, None))
            same = user is None or self.current(user) == self.current(new)
            self.login[old] = (new, email if same else None)

    def _forget(self, user: str | None, device: str | None) -> None:
        start = user or device
        assert start is not None
        known = {start, *self.alias, *self.alias.values()}
        gone = {one for one in known if start in self.chain(one)}
        for here, (owner, _) in list(self.login.items()):
            nobodys = owner is None and here in gone
            if owner in gone or nobodys or (user is None and here == device):
                del self.login[here]
        for one in gone:
            self.alias.pop(one, None)

    def tell(self, event: Event) -> Event:
        """An event with what is known of its person."""
        event = copy.deepcopy(event)
        if event["type"] in ("alias", "delete"):
            return event
        if event.get("userId") is not None:
            event["userId"] = self.current(event["userId"])
            return event
        user, email = self.login.get(event["anonymousId"], (None, None))
        if user is not None:
            event["userId"] = self.current(user)
        if email is not None and _email(event) is None:
            event.setdefault("context", {}).setdefault("traits", {})["email"] = email
        return event


def _email(event: Event) -> str | None:
    for place in (
        event.get("traits") if event["type"] == "identify" else None,
        event.get("context", {}).get("traits"),
    ):
        if place and place.get("email"):
            return str(place["email"])
    return None


def expected(history: History) -> list[Call]:
    """Every call that a history must lead to, in the order of the history."""
    devices: dict[int, set[str]] = defaultdict(set)
    for household, event in zip(history.home, history.events, strict=True):
        if event.get("anonymousId") is not None:
            devices[household].add(text(event["anonymousId"]))
    known = {household: Knowledge(devices[household]) for household in history.home}
    last_deletion = {
        household: place
        for place, (household, event) in enumerate(zip(history.home, history.events, strict=True))
        if event["type"] == "delete"
    }
    heard: set[str] = set()
    calls = []
    for place, (household, said) in enumerate(zip(history.home, history.events, strict=True)):
        if said["messageId"] in heard:
            continue
        heard.add(said["messageId"])
        event = copy.deepcopy(said)
        for name in ("userId", "anonymousId", "previousId", "groupId"):
            if event.get(name) is not None:
                event[name] = text(event[name])
        knowledge = known[household]
        knowledge.hear(event)
        is_before = place < last_deletion.get(household, -1)
        for method, path, body in _calls(knowledge.tell(event)):
            name = name_of(method, path, body)
            calls.append(Call(name, lane(event), household, method, path, body, is_before))
    assert len({call.name for call in calls}) == len(calls), "calls must have names of their own"
    return calls


def _calls(event: Event) -> Iterable[tuple[str, str, Any]]:
    if event["type"] == "delete":
        requests = [_ENCHARGE.delete(event)]
    else:
        requests = [s.build(event) for s in _ENCHARGE.subscriptions if s.matches(event)]
    for request in requests:
        yield request.method, request.url.removeprefix(_BASE), _as_sent(request.body)


def _as_sent(body: Any) -> Any:
    return None if body is None else orjson.loads(orjson.dumps(body))


# -- what arrived, against it ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call that took effect at the destination."""

    name: str
    method: str
    path: str
    body: Any


def arrivals(requests: Iterable[Mapping[str, Any]]) -> list[Arrival]:
    """The requests of a stand-in's log that took effect, in the order of their arrival."""
    return [
        Arrival(
            name_of(request["method"], request["path"], request["body"]),
            request["method"],
            request["path"],
            request["body"],
        )
        for request in requests
        if request["applied"]
    ]


def check(
    history: History,
    requests: Iterable[Mapping[str, Any]],
    *,
    repeats: int = 0,
    crashes: bool = False,
    identity: bool = True,
) -> int:
    """Each person's calls are those expected, in that order; gives how many came again.

    At most ``repeats`` did, and they were the same calls. After ``crashes``, an event from
    before a deletion may have been sent without what that made forget (ADR 4). Without
    ``identity``, bodies may name whoever they like, and are compared in all else.
    """
    told = f"seed {history.seed}"
    calls = {call.name: call for call in expected(history)}
    arrived = arrivals(requests)
    unknown = [arrival.name for arrival in arrived if arrival.name not in calls]
    assert not unknown, f"{told}: calls that nobody asked for: {unknown[:5]}"
    first = {arrival.name: arrival for arrival in reversed(arrived)}
    lost = [name for name in calls if name not in first]
    assert not lost, f"{told}: {len(lost)} calls are missing, such as {lost[:5]}"
    for arrival in arrived:
        call = calls[arrival.name]
        _check_body(told, history, call, arrival, crashes=crashes, identity=identity)
    wanted: dict[str, list[str]] = defaultdict(list)
    found: dict[str, list[str]] = defaultdict(list)
    for name, call in calls.items():
        wanted[call.lane].append(name)
    for name in dict.fromkeys(arrival.name for arrival in arrived):
        found[calls[name].lane].append(name)
    for who, names in wanted.items():
        assert found[who] == names, f"{told}: {who}'s calls are in another order"
    again = Counter(arrival.name for arrival in arrived)
    extra = sum(again.values()) - len(again)
    most = [name for name, count in again.most_common(5) if count > 1]
    assert extra <= repeats, f"{told}: {extra} calls came again, {repeats} may: {most}"
    return extra


def _check_body(
    told: str, history: History, call: Call, arrival: Arrival, *, crashes: bool, identity: bool
) -> None:
    assert (arrival.method, arrival.path) == (call.method, call.path), told
    if arrival.body == call.body:
        return
    if not identity and _unnamed(arrival.body) == _unnamed(call.body):
        return
    if (
        crashes
        and call.is_before_deletion
        and _unnamed(arrival.body) == _unnamed(call.body)
        and _named(arrival.body) < _named(call.body)
    ):
        return
    raise AssertionError(
        f"{told}: {call.name} of {call.lane} arrived with another body\n"
        f"  found    {orjson.dumps(arrival.body).decode()}\n"
        f"  expected {orjson.dumps(call.body).decode()}\n"
        f"the household's events:\n{_events(history, call.household)}"
    )


def _events(history: History, household: int) -> str:
    return "\n".join(
        f"  {orjson.dumps(event).decode()}"
        for home, event in zip(history.home, history.events, strict=True)
        if home == household
    )


_IDS = ("userId", "email")


def _named(body: Any) -> set[tuple[str, str]]:
    """The (id, value) that a body names its person by."""
    places = (body, body.get("user", {}))
    return {(name, place[name]) for place in places for name in _IDS if name in place}


def _unnamed(body: Any) -> Any:
    """A body without the ids of its person."""
    rest = {name: value for name, value in body.items() if name not in (*_IDS, "userFields")}
    if "user" in rest:
        rest["user"] = {k: v for k, v in rest["user"].items() if k not in _IDS}
    return rest


def check_coalesced(history: History, requests: Iterable[Mapping[str, Any]]) -> int:
    """As :func:`check`, where one call may stand for adjacent identifies; gives how many did."""
    told = f"seed {history.seed}"
    calls = expected(history)
    lanes: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        lanes[call.lane].append(call)
    whose = {call.name: call.lane for call in calls}
    found: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in arrivals(requests):
        found[whose[arrival.name]].append(arrival)
    merged = 0
    for who, wanted in lanes.items():
        left = iter(wanted)
        for arrival in found[who]:
            call = next(left, None)
            assert call is not None, f"{told}: {who}'s {arrival.name} came again"
            body = call.body
            while call.name != arrival.name:
                following = next(left, None)
                assert following is not None, f"{told}: {who}'s {call.name} is lost"
                assert _may_merge(body, following.body), f"{told}: {call.name} is lost"
                body = _both(body, following.body)
                call, merged = following, merged + 1
            same = (call.method, call.path, body) == (arrival.method, arrival.path, arrival.body)
            assert same, f"{told}: {call.name}: {arrival.body} instead of {body}"
        assert next(left, None) is None, f"{told}: the last of {who}'s calls are lost"
    return merged


def _may_merge(earlier: Any, later: Any) -> bool:
    kinds = {(earlier or {}).get("type"), (later or {}).get("type")}
    return kinds == {"identify"} and earlier["userId"] == later["userId"]


def _both(earlier: Any, later: Any) -> Any:
    return {
        **earlier,
        **later,
        "user": {**earlier["user"], **later["user"]},
        "context": {**earlier["context"], **later["context"]},
    }
