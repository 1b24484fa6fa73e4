"""The sample log: two weeks of a made-up product, as its producers put them on Kafka.

Example Desk is a web and mobile product with a free trial. Several hundred people visit,
sign up, work, pay or leave; several client libraries report it; a few records are broken,
sent twice or not meant for us, in about the proportions of real life. Names, addresses
and companies are placeholders (``example.com``, ``example.org``, documentation IPs).

:func:`generate` makes the log from a seed, :func:`load` reads the copy that is shipped,
:func:`expected` counts by its own plain reading what a pipeline should find in it.
The shipped copy is written with::

    python -m streams.dev.sample > streams/dev/data/sample.ndjson

One record per line, in order of arrival. ``key`` is the Kafka key or null; the value is
under one of three names:

``event``       a JSON object; on the topic it is written compactly, in this order of members
``raw``         any other text, exactly as it goes on the topic
``raw_base64``  bytes that are not UTF-8

The events of one device belong on one partition (:func:`partition_for`), in this order.
What a person's story needs in order (a login, then visits without a userId; a rename, then
events under the old id) is told by one device, but for the few imported people who have
none: their alias goes with the old id.
"""

from __future__ import annotations

import base64
import json
import random
import sys
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from streams.events import Event

SAMPLE_FILE: Final = Path(__file__).parent / "data" / "sample.ndjson"
START: Final = datetime(2026, 11, 2, tzinfo=UTC)
END: Final = datetime(2026, 11, 16, tzinfo=UTC)
MAX_EVENT_BYTES: Final = 32 * 1024
SHOWCASE_EMAIL: Final = "person001@example.com"
"""Whose way from the first visit to the paid invoice the demo shows."""

_SECOND: Final = 1_000
_HOUR: Final = 3_600 * _SECOND
_DAY: Final = 24 * _HOUR
_LENGTH: Final = 14 * _DAY

_FIRST_NAMES: Final = (
    *("Alex", "Ari", "Casey", "Charlie", "Jamie", "Jordan", "Kim", "Lee", "Max", "Morgan"),
    *("Noor", "Pat", "Quinn", "Riley", "Robin", "Sam", "Sasha", "Taylor"),
)
_AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0",
    "Mozilla/5.0 (Windows NT 10.0) Firefox/145.0",
    "Mozilla/5.0 (Macintosh) Safari/605.1.15",
)
_PLACES: Final = (
    ("en-US", "America/Chicago", "Chicago"),
    ("de-DE", "Europe/Berlin", "Köln"),
    ("pl-PL", "Europe/Warsaw", "Kraków"),
    ("pt-BR", "America/Sao_Paulo", "São Paulo"),
    ("en-GB", "Europe/London", "Leeds"),
)
_CAMPAIGNS: Final = (
    {"source": "newsletter", "medium": "email", "name": "autumn-trial"},
    {"source": "search", "medium": "cpc", "name": "help-desk", "term": "shared inbox"},
    {"source": "partner", "medium": "referral", "name": "directory", "content": "badge"},
)
_REFERRERS: Final = ("", "https://search.example.org/", "https://news.example.org/item/17")
_MARKETING_PAGES: Final = (
    ("/", "Home", None),
    ("/pricing", "Pricing", "Marketing"),
    ("/features", "Features", "Marketing"),
    ("/blog/answers", "The first answer", "Blog"),
)
_INDUSTRIES: Final = ("Education", "Logistics", "Retail", "Software")
_PLANS: Final = (("starter", 19.0), ("team", 79.5), ("business", 249.99))
_KEY_STYLES: Final = ("none", "none", "anonymousId", "user", "uuid")


class SampleRecord(NamedTuple):
    """What a producer would put on the source topic."""

    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Showcase:
    """One person to point at: visits first, signs up, works, pays."""

    anonymous_id: str
    user_id: str
    email: str


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """What is in a sample log. ``records`` is the sum of the next three."""

    records: int
    by_type: Mapping[str, int]
    """Valid events, each messageId once."""
    duplicates: int
    """Valid events whose messageId was on an earlier record."""
    invalid: Mapping[str, int]
    """Records that no pipeline can deliver, by reason."""
    filtered: Mapping[str, int]
    """Those of ``by_type`` that are not for Encharge: ``integrations`` or ``screen``."""
    people: int
    """After renaming by alias; a device that nobody logged in on is a person too."""
    showcase: Showcase

    @property
    def events(self) -> int:
        """Distinct valid events."""
        return sum(self.by_type.values())

    @property
    def deliverable(self) -> int:
        """Events that reach the destination, alone or merged into a neighbour."""
        return self.events - sum(self.filtered.values())


# --- people and their devices ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Person:
    number: int

    @property
    def user_id(self) -> str:
        return f"user-{self.number:03}"

    @property
    def email(self) -> str:
        return f"person{self.number:03}@example.{'org' if self.number % 4 == 0 else 'com'}"

    @property
    def company(self) -> int:
        return (self.number - 1) // 8 + 1

    def traits(self, **more: Any) -> dict[str, Any]:
        first = _FIRST_NAMES[self.number % len(_FIRST_NAMES)]
        return {"email": self.email, "firstName": first, "lastName": "Example", **more}


@dataclass(frozen=True, slots=True)
class _Device:
    anonymous_id: str
    agent: str
    ip: str | None
    locale: str
    timezone: str
    city: str
    batching: bool
    """The browser library's batching mode, in which the request has the sentAt."""


def _new_uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _new_device(rng: random.Random) -> _Device:
    locale, timezone, city = rng.choice(_PLACES)
    return _Device(
        anonymous_id=_new_uuid(rng),
        agent=rng.choice(_AGENTS),
        ip=f"203.0.113.{rng.randint(1, 254)}" if rng.random() < 0.5 else None,
        locale=locale,
        timezone=timezone,
        city=city,
        batching=rng.random() < 0.5,
    )


# --- clocks ------------------------------------------------------------------------------
# Times are whole milliseconds after START; only the builders below spell them out.


def _time(ms: int) -> datetime:
    return START + timedelta(milliseconds=ms)


def _zulu(ms: int) -> str:
    return _time(ms).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"


def _offset(ms: int) -> str:
    return _time(ms).isoformat(timespec="milliseconds")


def _unix_ms(ms: int) -> int:
    return int(START.timestamp()) * 1000 + ms


# --- the clients -------------------------------------------------------------------------


class _Arrival(NamedTuple):
    at: int
    record: SampleRecord
    repeatable: bool
    """May be sent twice: kept to deliverable events, so that every count has one meaning."""


@dataclass
class _Story:
    """One person's way through the log: a clock, a device in hand, and what was reported.

    The methods named after a client report one event in that client's own shape. ``user``
    is the userId that the clients know at the moment; None before the person logs in.
    """

    rng: random.Random
    person: _Person
    log: list[_Arrival]
    device: _Device = field(init=False)
    key_style: str = field(init=False)
    user: str | int | None = field(init=False, default=None)
    now: int = field(init=False)

    def __post_init__(self) -> None:
        self.device = _new_device(self.rng)
        self.key_style = self.rng.choice(_KEY_STYLES)
        self.now = self.rng.randrange(13 * _DAY)

    def soon(self, least: float = 3.0, most: float = 90.0) -> None:
        """Some seconds go by: longer than any network delay, so arrival keeps the order."""
        self.now += int(self.rng.uniform(least, most) * _SECOND)

    def later(self) -> None:
        """Hours or days go by. A share of what is left, so no story outlives the log."""
        self.now += int((_LENGTH - self.now) * self.rng.uniform(0.05, 0.25))

    def browser(
        self,
        kind: str,
        fields: Mapping[str, Any],
        *,
        path: str = "/inbox",
        title: str = "Inbox",
        campaign: Mapping[str, str] | None = None,
        known: bool = True,
        integrations: Mapping[str, Any] | None = None,
    ) -> None:
        """``@segment/analytics-next``; ``known=False`` leaves the userId out."""
        page = self._web_page(path, title, campaign)
        context: dict[str, Any] = {
            "page": page,
            "userAgent": self.device.agent,
            "locale": self.device.locale,
            "library": {"name": "analytics.js", "version": "npm:next-1.84.3"},
            "timezone": self.device.timezone,
        }
        if self.device.ip is not None:
            context["ip"] = self.device.ip
        if campaign:
            context["campaign"] = dict(campaign)
        event: Event = {"type": kind, "anonymousId": self.device.anonymous_id}
        if known and self.user is not None:
            event["userId"] = self.user
        event |= fields
        if kind == "page":
            event["properties"] = {**page, **event.get("properties", {})}
        event["context"] = context
        event["integrations"] = {"Segment.io": True, **(integrations or {})}
        event["messageId"] = f"ajs-next-{_unix_ms(self.now)}-{_new_uuid(self.rng)}"
        event["timestamp"] = _zulu(self.now)
        if not self.device.batching:
            event["sentAt"] = _zulu(self.now + self.rng.randint(2, 60))
        self._put(event, self.key_style)

    def python(
        self,
        kind: str,
        fields: Mapping[str, Any],
        *,
        integrations: Mapping[str, Any] | None = None,
    ) -> None:
        """``segment-analytics-python``: a null anonymousId, an offset instead of Z."""
        event: Event = {
            "integrations": dict(integrations or {}),
            "anonymousId": None,
            "timestamp": _offset(self.now),
            "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
            "type": kind,
            "userId": None if self.user is None else str(self.user),
            **fields,
            "messageId": _new_uuid(self.rng),
        }
        self._put(event, "none" if self.key_style == "anonymousId" else self.key_style)

    def node(
        self,
        kind: str,
        fields: Mapping[str, Any],
        *,
        anonymous: bool = False,
        integrations: Mapping[str, Any] | None = None,
    ) -> None:
        """``@segment/analytics-node``; with ``anonymous`` the cookie's id is passed on."""
        event: Event = {
            "timestamp": _zulu(self.now),
            "integrations": dict(integrations or {}),
            "type": kind,
            "userId": self.user,
            **({"anonymousId": self.device.anonymous_id} if anonymous else {}),
            **fields,
            "context": {"library": {"name": "@segment/analytics-node", "version": "3.1.0"}},
            "messageId": f"node-next-{_unix_ms(self.now)}-{_new_uuid(self.rng)}",
            "_metadata": {"nodeVersion": "v20.20.2", "jsRuntime": "node"},
        }
        self._put(event, self.key_style)

    def rudder_node(self, kind: str, fields: Mapping[str, Any]) -> None:
        """``@rudderstack/rudder-sdk-node``: only an originalTimestamp; traits twice."""
        context: dict[str, Any] = {"library": {"name": "analytics-node", "version": "3.0.13"}}
        if kind == "identify":
            context = {"traits": dict(fields["traits"]), **context}
        event: Event = {
            "userId": self.user,
            **fields,
            "type": kind,
            "context": context,
            "channel": "server",
            "_metadata": {"nodeVersion": "20.20.2"},
            "originalTimestamp": _zulu(self.now),
            "messageId": _new_uuid(self.rng),
            "sentAt": _zulu(self.now + self.rng.randint(0, 20)),
        }
        self._put(event, "user")

    def rudder_python(self, kind: str, fields: Mapping[str, Any]) -> None:
        """``rudder-sdk-python``: an identify's traits are in the context only."""
        rest = dict(fields)
        context: dict[str, Any] = {"library": {"name": "analytics-python", "version": "2.1.9"}}
        if kind == "identify":
            context = {"traits": rest.pop("traits"), **context}
        event: Event = {
            "integrations": {"All": True},
            "anonymousId": None,
            "timestamp": _time(self.now).isoformat(timespec="microseconds"),
            "context": context,
            "userId": self.user,
            "type": kind,
            **rest,
            "messageId": _new_uuid(self.rng),
            "channel": "server",
        }
        self._put(event, "user")

    def app(self, kind: str, fields: Mapping[str, Any], *, skew: int = 0) -> None:
        """A phone. Its clock is ``skew`` ms off; the server has corrected ``timestamp``."""
        event: Event = {
            "type": kind,
            "messageId": _new_uuid(self.rng),
            "anonymousId": self.device.anonymous_id,
            **({} if self.user is None else {"userId": self.user}),
            **fields,
            "context": {
                "app": {"name": "Example Desk", "version": "4.2.0"},
                "device": {"model": "Phone 5", "type": "android"},
                "os": {"name": "Android", "version": "16"},
                "network": {"wifi": False},
                "library": {"name": "analytics-kotlin", "version": "1.20.0"},
                "locale": self.device.locale,
            },
            "integrations": {},
            "timestamp": _zulu(self.now),
        }
        if skew:
            event["originalTimestamp"] = _zulu(self.now + skew)
            event["sentAt"] = _zulu(self.now + skew + 40)
            event["receivedAt"] = _zulu(self.now + 40)
        self._put(event, self.key_style)

    def _web_page(
        self, path: str, title: str, campaign: Mapping[str, str] | None
    ) -> dict[str, str]:
        query = "&".join(
            f"utm_{'campaign' if name == 'name' else name}={value.replace(' ', '+')}"
            for name, value in (campaign or {}).items()
        )
        search = f"?{query}" if query else ""
        return {
            "path": path,
            "referrer": self.rng.choice(_REFERRERS) if campaign else "",
            "search": search,
            "title": title,
            "url": f"https://desk.example.com{path}{search}",
        }

    def _put(self, event: Event, key_style: str) -> None:
        at = self.now + self.rng.randint(80, 900)
        record = SampleRecord(self._key(event, key_style), _compact(event))
        plain = event["type"] != "screen" and False not in event.get("integrations", {}).values()
        self.log.append(_Arrival(at, record, plain))

    def _key(self, event: Event, style: str) -> bytes | None:
        # Segment's Kafka destination leaves the key empty unless it is mapped, RudderStack
        # takes userId or anonymousId, Jitsu a random UUID.
        anonymous_id, user_id = event.get("anonymousId"), event.get("userId")
        if style == "uuid":
            return _new_uuid(self.rng).encode()
        if style == "anonymousId" and anonymous_id is not None:
            return str(anonymous_id).encode()
        if style == "user":
            return str(anonymous_id if user_id is None else user_id).encode()
        return None


_Send = Callable[[str, Mapping[str, Any]], None]
"""Reports an event through one of the clients."""


# --- scenes: what happens in several stories ---------------------------------------------


def _visit(story: _Story, pages: int) -> None:
    """Nobody is logged in; the first page of the visit may carry a campaign."""
    campaign = story.rng.choice((None, None, *_CAMPAIGNS))
    for _ in range(pages):
        path, name, category = story.rng.choice(_MARKETING_PAGES)
        named = {"name": name} | ({"category": category} if category else {})
        story.browser(
            "page",
            {**named, "properties": named},
            path=path,
            title=name,
            campaign=campaign,
        )
        campaign = None
        story.soon()


def _sign_up(story: _Story, send: _Send, user: str | int) -> None:
    """The device's visitor becomes a known person."""
    story.user = user
    created = _zulu(story.now)
    traits = story.person.traits(plan="trial", createdAt=created, city=story.device.city)
    send("identify", {"traits": traits})
    story.soon(2, 5)
    send("track", {"event": "Signed Up", "properties": {"plan": "trial", "trial_days": 14}})
    story.soon()


def _fill_in_profile(story: _Story) -> None:
    """A form that reports after every field: identifies in a row, to be coalesced."""
    answers = (
        {"title": "Support lead"},
        {"team_size": story.rng.randint(2, 40)},
        {"use_case": "shared inbox", "beta": story.rng.random() < 0.5},
        {"phone": None},
    )
    for answer in answers[: story.rng.choice((2, 2, 3, 4))]:
        story.browser("identify", {"traits": answer}, path="/welcome", title="Welcome")
        story.soon(1.2, 3)


def _join_company(story: _Story, send: _Send) -> None:
    number = story.person.company
    traits = {
        "name": f"Example Company {number:02}",
        "industry": _INDUSTRIES[number % len(_INDUSTRIES)],
        "employees": 5 + 7 * (number % 11),
    }
    send("group", {"groupId": f"company-{number:02}", "traits": traits})
    story.soon()


def _work(story: _Story, times: int, send: _Send) -> None:
    """What people do in the product."""
    for _ in range(times):
        name, properties = story.rng.choice(
            (
                ("Inbox Connected", {"provider": "imap"}),
                ("Conversation Answered", {"minutes": story.rng.randint(1, 240)}),
                ("Teammate Invited", {"role": story.rng.choice(("agent", "admin"))}),
                ("Report Exported", {"format": "csv", "rows": story.rng.randint(10, 5000)}),
            )
        )
        send("track", {"event": name, "properties": properties})
        story.soon()


def _pay(story: _Story, send: _Send) -> None:
    """The trial ends well: the back end reports the invoice."""
    plan, price = story.rng.choice(_PLANS)
    currency = story.rng.choice(("USD", "EUR"))
    properties = {
        "invoice_id": f"inv-{story.person.number:05}",
        "revenue": price,
        "currency": currency,
        "lines": [{"plan": plan, "seats": story.rng.randint(1, 9)}],
    }
    send("track", {"event": "Invoice Paid", "properties": properties})
    story.soon()


def _read_docs(story: _Story) -> None:
    """Another site of the firm knows the device's cookie but not the login."""
    story.browser(
        "page",
        {"name": "Docs", "category": "Docs", "properties": {"name": "Docs", "category": "Docs"}},
        path="/docs/rules",
        title="Rules",
        known=False,
    )
    story.soon()


def _keep_to_ourselves(story: _Story) -> None:
    """An event that its sender switched off for Encharge, one way or the other."""
    off = story.rng.choice(({"All": False}, {"Encharge (Actions)": False}))
    story.browser(
        "track",
        {"event": "Debug Panel Opened", "properties": {"build": "8f3c2a1"}},
        integrations=off,
    )
    story.soon()


# --- the stories -------------------------------------------------------------------------


def _visitor(story: _Story) -> None:
    """Looks around; one in three leaves an address for the newsletter."""
    _visit(story, story.rng.randint(2, 3))
    if story.person.number % 3 == 0:
        traits = {"email": story.person.email, "newsletter": True}
        story.browser("identify", {"traits": traits}, path="/newsletter", title="Newsletter")
        story.later()
        _visit(story, 1)


def _trial(story: _Story) -> None:
    """Visits, signs up in the browser, works, and in half of the cases pays."""
    _visit(story, story.rng.randint(1, 2))
    _sign_up(story, story.browser, story.person.user_id)
    if story.rng.random() < 0.5:
        _fill_in_profile(story)
    _join_company(story, story.browser)
    story.later()
    _work(story, story.rng.randint(1, 2), story.browser)
    if story.rng.random() < 0.3:
        _keep_to_ourselves(story)
    if story.rng.random() < 0.5:
        _read_docs(story)
    story.later()
    story.python("track", {"event": "Trial Ending Soon", "properties": {"days_left": 3}})
    story.later()
    if story.rng.random() < 0.5:
        _pay(story, story.python)
    elif story.rng.random() < 0.5:
        story.python("track", {"event": "Trial Expired"})


def _showcase(story: _Story) -> None:
    """The one person the demo points at: a bit of everything, early in the log."""
    story.now = 9 * _HOUR
    story.key_style = "none"
    _visit(story, 3)
    story.later()
    _visit(story, 1)
    _sign_up(story, story.browser, story.person.user_id)
    _fill_in_profile(story)
    _join_company(story, story.browser)
    _work(story, 3, story.browser)
    _keep_to_ourselves(story)
    story.later()
    _read_docs(story)
    story.later()
    _pay(story, story.python)
    traits = {"plan": "team", "trial_ended_at": _zulu(story.now)}
    story.python("identify", {"traits": traits})


def _back_end_customer(story: _Story) -> None:
    """Signs up in the browser; from then on a Node back end reports."""
    _visit(story, 1)
    _sign_up(story, story.browser, story.person.user_id)
    _join_company(story, story.node)
    story.later()
    _work(story, 3, story.node)
    if story.rng.random() < 0.4:
        only = {"All": False, "Encharge (Actions)": True}
        story.node("track", {"event": "Plan Changed"}, integrations=only)
        story.soon()
    if story.rng.random() < 0.4:
        story.node("track", {"event": "Health Check"}, integrations={"All": False})
        story.soon()
    _pay(story, story.node)


def _phone_user(story: _Story) -> None:
    """Uses the mobile app, whose screens have no counterpart in Encharge."""
    skew = story.rng.choice((0, 95 * _SECOND, -3 * _HOUR))

    def send(kind: str, fields: Mapping[str, Any]) -> None:
        story.app(kind, fields, skew=skew)

    def look_at(name: str) -> None:
        send("screen", {"name": name, "properties": {"name": name}})
        story.soon()

    send("track", {"event": "Application Installed", "properties": {"version": "4.2.0"}})
    story.soon()
    look_at("Welcome")
    _sign_up(story, send, story.person.user_id)
    look_at("Inbox")
    story.later()
    _work(story, story.rng.randint(1, 2), send)
    look_at("Settings")


def _two_devices(story: _Story) -> None:
    """Starts on one device, goes on under the same login on another."""
    _visit(story, 2)
    _sign_up(story, story.browser, story.person.user_id)
    _work(story, 1, story.browser)
    story.later()
    story.device, story.user = _new_device(story.rng), None
    _visit(story, 1)
    story.user = story.person.user_id
    story.browser("identify", {"traits": {"email": story.person.email}}, path="/login")
    story.soon()
    _work(story, 2, story.browser)
    _read_docs(story)


def _shared_computer(story: _Story, second: _Person) -> None:
    """Two people, one after the other, on a computer that keeps its anonymousId."""
    _visit(story, 2)
    for person in (story.person, second):
        story.person = person
        _sign_up(story, story.browser, person.user_id)
        _work(story, 2, story.browser)
        _read_docs(story)
        story.later()


def _renamed(story: _Story) -> None:
    """Starts under a temporary userId; one tab and one job still use it after the alias."""
    temporary = f"signup-{story.person.number:03}"
    _visit(story, 2)
    _sign_up(story, story.browser, temporary)
    _work(story, 1, story.browser)
    story.later()
    story.user = story.person.user_id
    story.browser("alias", {"previousId": temporary}, path="/confirm", title="Confirmed")
    story.soon()
    _work(story, 1, story.browser)
    story.user = temporary
    _work(story, 1, story.browser)
    story.node("track", {"event": "Import Finished", "properties": {"rows": 120}}, anonymous=True)
    story.soon()
    story.user = story.person.user_id
    _work(story, 1, story.browser)


def _imported_with_alias(story: _Story) -> None:
    """Never seen in a browser: the import's id is still in use after the alias."""
    old = f"import-{story.person.number:03}"
    story.user = old
    story.python("identify", {"traits": story.person.traits(plan="team")})
    story.soon()
    _work(story, 1, story.python)
    story.later()
    story.user = story.person.user_id
    story.python("alias", {"previousId": old})
    story.soon()
    story.user = old
    _work(story, 2, story.python)


def _imported_with_number(story: _Story) -> None:
    """The database's number is the userId; one library sends it on as text."""
    story.user = 10_000 + story.person.number
    story.rudder_node("identify", {"traits": story.person.traits(plan="business")})
    story.soon()
    _work(story, 2, story.rudder_node)
    story.later()
    _pay(story, story.python)


def _imported(story: _Story) -> None:
    """Known from the start, to the back end only."""
    if story.person.number % 3 == 0:
        _imported_with_alias(story)
    else:
        _imported_with_number(story)


def _rudder_customer(story: _Story) -> None:
    """Everything comes through a RudderStack source, from one of two libraries."""
    send = story.rudder_python if story.person.number % 40 < 20 else story.rudder_node
    _sign_up(story, send, story.person.user_id)
    _join_company(story, send)
    story.later()
    _work(story, 3, send)
    _pay(story, send)


_STORIES: Final = (
    *(_trial, _visitor, _back_end_customer, _phone_user, _visitor),
    *(_trial, _imported, _visitor, _two_devices, _trial),
    *(_trial, _trial, _visitor, _renamed, _rudder_customer),
    *(_trial, _visitor, _back_end_customer, _phone_user, _trial),
)
_SHARED: Final = 10
"""The place in the round that is told together with the next one, if there is one."""


def _tell_all(people: int, rng: random.Random) -> list[_Arrival]:
    log: list[_Arrival] = []
    cast = iter([_Person(number) for number in range(1, people + 1)])
    for person in cast:
        story = _Story(rng, person, log)
        place = (person.number - 1) % len(_STORIES)
        if person.number == 1:
            _showcase(story)
        elif place == _SHARED and person.number < people:
            _shared_computer(story, next(cast))
        else:
            _STORIES[place](story)
    return log


# --- what goes wrong ---------------------------------------------------------------------


def _broken_values(rng: random.Random) -> Iterator[bytes]:
    """Records that cannot be delivered, each for one reason; endless, in turns."""

    def event(**fields: Any) -> bytes:
        return _compact({**fields, "messageId": _new_uuid(rng), "timestamp": _zulu(0)})

    yield _compact(  # once is enough: it is most of the weight of two hundred others
        {
            "type": "track",
            "userId": "user-002",
            "event": "Attachment Uploaded",
            "properties": {"content": "QUJD" * 8_300},
            "messageId": _new_uuid(rng),
            "timestamp": _zulu(0),
        }
    )
    while True:
        yield b'{"type":"track","event":"Cut Short","userId":"user-0'
        yield b""
        yield _compact([{"type": "track", "event": "In A List", "userId": "user-005"}])
        yield event(event="No Type", userId="user-005", properties={})
        yield event(type="tracck", event="Misspelt", userId="user-006")
        yield event(type="track", event="Nobody", properties={"n": 1})
        yield event(type="page", name="Nobody", userId=None, anonymousId=None)
        yield b'{"type":"identify","userId":"user-009","traits":{"city":"K\xf6ln"}}'
        yield b"connection reset by peer"
        yield b"null"


def _add_broken(log: list[_Arrival], people: int, rng: random.Random) -> None:
    values = _broken_values(rng)
    for _ in range(max(11, people * 24 // 320)):
        at = rng.randrange(_LENGTH - _HOUR)
        log.append(_Arrival(at, SampleRecord(None, next(values)), repeatable=False))


def _add_repeats(log: list[_Arrival], rng: random.Random) -> None:
    """A producer that got no answer sends again, seconds to hours after."""
    candidates = [arrival for arrival in log if arrival.repeatable]
    for first in candidates[17::63]:
        delay = min(rng.randint(2 * _SECOND, 3 * _HOUR), _LENGTH - 1 - first.at)
        log.append(first._replace(at=first.at + delay, repeatable=False))


def generate(people: int = 320, seed: int = 7) -> list[SampleRecord]:
    """The sample log in order of arrival; the same arguments give the same log."""
    rng = random.Random(seed)
    log = _tell_all(people, rng)
    _add_repeats(log, rng)
    _add_broken(log, people, rng)
    log.sort(key=lambda arrival: arrival.at)
    return [arrival.record for arrival in log]


# --- the file ----------------------------------------------------------------------------


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _line(record: SampleRecord) -> bytes:
    key = None if record.key is None else record.key.decode()
    try:
        event = json.loads(record.value)
        # Shown as an event only where reading it back gives the very same bytes.
        if isinstance(event, dict) and _compact(event) == record.value:
            return _compact({"key": key, "event": event})
    except ValueError:
        pass  # not JSON, or JSON that cannot be written as UTF-8
    try:
        return _compact({"key": key, "raw": record.value.decode()})
    except UnicodeDecodeError:
        return _compact({"key": key, "raw_base64": base64.b64encode(record.value).decode()})


def dump(records: Sequence[SampleRecord]) -> bytes:
    """The log as the shipped file has it (see the module's text)."""
    return b"".join(_line(record) + b"\n" for record in records)


def _record(line: bytes) -> SampleRecord:
    entry = json.loads(line)
    key = None if entry["key"] is None else entry["key"].encode()
    if "event" in entry:
        return SampleRecord(key, _compact(entry["event"]))
    if "raw" in entry:
        return SampleRecord(key, entry["raw"].encode())
    return SampleRecord(key, base64.b64decode(entry["raw_base64"], validate=True))


def load(path: Path = SAMPLE_FILE) -> list[SampleRecord]:
    """The shipped sample log, in order of arrival."""
    return [_record(line) for line in path.read_bytes().split(b"\n") if line]


# --- reading it back ---------------------------------------------------------------------

_TYPES: Final = frozenset({"identify", "track", "page", "screen", "group", "alias"})
_ENCHARGE: Final = ("Encharge (Actions)", "Encharge Cloud (Actions)", "Encharge")


def partition_for(record: SampleRecord, partitions: int, *, index: int = 0) -> int:
    """The partition that keeps the events of one device (or device-less user) together.

    By anonymousId, else, for an alias, by the id used so far, else by userId. A record
    with none of them goes by its ``index`` in the log.
    """
    try:
        event = json.loads(record.value)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        return index % partitions
    names = ("anonymousId", *(("previousId",) if event.get("type") == "alias" else ()), "userId")
    for name in names:
        if event.get(name) is not None:
            return zlib.crc32(str(event[name]).encode()) % partitions
    return index % partitions


def _parse(value: bytes) -> tuple[Event, str | None]:
    """The event, and for what reason it cannot be delivered, if so."""
    if len(value) > MAX_EVENT_BYTES:
        return {}, "too-large"
    try:
        event = json.loads(value.decode())
    except UnicodeDecodeError:
        return {}, "invalid-utf8"
    except ValueError:
        return {}, "not-json" if value else "empty"
    if not isinstance(event, dict):
        return {}, "not-an-object"
    return event, _flaw(event)


def _flaw(event: Event) -> str | None:
    if event.get("type") not in _TYPES:
        return "unknown-type" if "type" in event else "no-type"
    if event.get("userId") is None and event.get("anonymousId") is None:
        return "no-ids"
    return None


def _filter_reason(event: Event) -> str | None:
    switches = event.get("integrations") or {}
    named = [switches[name] for name in _ENCHARGE if name in switches]
    if False in (named or [switches.get("All", True)]):
        return "integrations"
    return "screen" if event["type"] == "screen" else None


def _count_people(events: Sequence[Event]) -> int:
    renamed: dict[str, str] = {}
    users: set[str] = set()
    devices: set[str] = set()
    with_login: set[str] = set()
    for event in events:
        user, device = event.get("userId"), event.get("anonymousId")
        if user is not None:
            users.add(str(user))
        if device is not None:
            devices.add(device)
            if user is not None:
                with_login.add(device)
        if event["type"] == "alias":
            renamed[str(event["previousId"])] = str(user)
    return len(users - renamed.keys()) + len(devices - with_login)


def _find_showcase(events: Sequence[Event]) -> Showcase:
    for event in events:
        email = event.get("traits", {}).get("email")
        if event["type"] == "identify" and email == SHOWCASE_EMAIL and "userId" in event:
            return Showcase(event["anonymousId"], event["userId"], email)
    raise ValueError(f"no identify of {SHOWCASE_EMAIL} in the log")


def expected(records: Sequence[SampleRecord]) -> SampleFacts:
    """What is in the log, by a plain reading that shares nothing with the pipeline.

    Raises ``ValueError`` when the showcase person is not in it.
    """
    invalid: Counter[str] = Counter()
    events: dict[str, Event] = {}
    duplicates = 0
    for record in records:
        event, reason = _parse(record.value)
        if reason is not None:
            invalid[reason] += 1
        elif event["messageId"] in events:
            duplicates += 1
        else:
            events[event["messageId"]] = event
    distinct = list(events.values())
    filtered = Counter(why for event in distinct if (why := _filter_reason(event)))
    return SampleFacts(
        records=len(records),
        by_type=dict(Counter(event["type"] for event in distinct)),
        duplicates=duplicates,
        invalid=dict(invalid),
        filtered=dict(filtered),
        people=_count_people(distinct),
        showcase=_find_showcase(distinct),
    )


def main() -> None:
    """Writes the log to standard output, as bytes: the locale must not matter."""
    sys.stdout.buffer.write(dump(generate()))


if __name__ == "__main__":
    main()
