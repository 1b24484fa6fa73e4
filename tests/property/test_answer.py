"""What is answered about an id, against the rules and against the reference of test_identity.

Events go to partitions as ingest would place them, and what that changes is written to a log,
as to a changelog. The answer is got by reading that log.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from streams.events import Event
from streams.identity.answer import Answer
from streams.identity.rules import ALIAS, DEVICE
from streams.lookup import look_up, look_up_device
from streams.source.ingest import partition_of
from tests.property.test_identity import (
    DEVICES,
    USERS,
    WITH_DELETIONS,
    always,
    identities_of,
    resolve,
)
from tests.support.reference import Knowledge

END = 1 << 60
IDS = (*DEVICES, *USERS)
COUNTS = st.sampled_from([1, 2, 5])


@dataclass
class Tables:
    """The identities of all partitions after some events, and the log of their changes."""

    partitions: int
    rows: list[dict[bytes, bytes]] = field(init=False)
    log: list[tuple[int, bytes, bytes | None]] = field(default_factory=list)
    readings: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = [{} for _ in range(self.partitions)]

    def feed(self, events: Iterable[Event]) -> Tables:
        for position, said in enumerate(events):
            event = {"messageId": f"m-{position}", **said}
            home = partition_of(event.get("anonymousId") or event["userId"], self.partitions)
            self._feed(home, event, position)
            if event["type"] in ("alias", "delete"):
                # What an alias says of its own device is for the device's partition.
                elsewhere = ("anonymousId",) if event["type"] == "alias" else ()
                note = {k: v for k, v in event.items() if k not in elsewhere}
                for other in set(range(self.partitions)) - {home}:
                    self._feed(other, note, position)
        return self

    def _feed(self, partition: int, event: Event, position: int) -> None:
        rows = self.rows[partition]
        before = dict(rows)
        resolve([event], rows, start=position)
        self.log += [
            (partition, key, rows.get(key))
            for key in sorted(before.keys() | rows.keys())
            if before.get(key) != rows.get(key)
        ]

    async def read(
        self, partitions: Iterable[int], take: Callable[[int, bytes, bytes | None], None]
    ) -> None:
        wanted = list(partitions)
        self.readings.append(wanted)
        for partition, key, value in self.log:
            if partition in wanted:
                take(partition, key, value)

    def ask(self, subject: str) -> Answer:
        return at_once(look_up(subject, self))

    def ask_device(self, subject: str) -> Answer:
        return at_once(look_up_device(subject, self))

    def owner(self, device: str, position: int = END) -> tuple[str | None, str | None]:
        rows = self.rows[partition_of(device, self.partitions)]
        return identities_of(rows).owner(device, position)


def at_once(asked: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of a coroutine that waits for nothing, without a loop."""
    try:
        asked.send(None)
    except StopIteration as done:
        answer: Answer = done.value
        return answer
    raise AssertionError("it waits for something")


@always
@given(WITH_DELETIONS, COUNTS)
def test_a_device_belongs_to_whom_the_rules_say(events: list[Event], partitions: int) -> None:
    tables = Tables(partitions).feed(events)
    for device in DEVICES:
        asked, known = tables.ask(device), tables.ask_device(device)
        owner = tables.owner(device)
        if asked.device is not None:
            assert (asked.device.user, asked.device.email) == owner
        elif asked.user is not None and asked.user.aliases:
            assert (asked.user.user, None) == owner, "an alias is all that is known of it"
        else:
            assert owner == (None, None)
        assert owner == (
            (None, None) if known.device is None else (known.device.user, known.device.email)
        )


@always
@given(WITH_DELETIONS, COUNTS)
def test_so_it_did_at_every_position_that_the_history_reaches(
    events: list[Event], partitions: int
) -> None:
    tables = Tables(partitions).feed(events)
    for device in DEVICES:
        found = tables.ask_device(device).device
        if found is None:
            continue
        now = identities_of(tables.rows[partition_of(device, partitions)])
        history = [*found.earlier, found.login]
        for login in history:
            until = END if login.until is None else login.until.position
            for position in {login.since.position, until - 1}:
                assert now._holder(device, position) == (login.user, login.email)
        assert [a.until for a in found.earlier] == [b.since for b in history[1:]]
        assert found.login.until is None


@always
@given(WITH_DELETIONS, COUNTS)
def test_a_user_is_what_the_reference_says(events: list[Event], partitions: int) -> None:
    tables = Tables(partitions).feed(events)
    model = Knowledge(set(DEVICES))
    for event in events:
        model.hear(event)
    for subject in IDS:
        user = tables.ask(subject).user
        chain = model.chain(subject)
        former = {i for i in IDS if i != subject and subject in model.chain(i)}
        devices = {
            device: model.current(login[0])
            for device, login in model.login.items()
            if login[0] in (subject, *former)
        }
        if user is None:
            assert (chain, former, devices) == ([subject], set(), {})
            continue
        assert [subject, *(step.new for step in user.aliases)] == chain
        assert user.user == chain[-1]
        assert {step.old for step in user.former if step.until is None} == former
        current = {login.device for login in user.devices if login.until is None}
        # An alias may be all that is known of a device; then it is among the former ids.
        assert current <= devices.keys()
        assert devices.keys() - current <= former
        for device, ends_as in devices.items():
            assert tables.owner(device)[0] == ends_as == user.user


@always
@given(WITH_DELETIONS, COUNTS)
def test_something_is_known_of_an_id_exactly_if_a_row_names_it(
    events: list[Event], partitions: int
) -> None:
    tables = Tables(partitions).feed(events)
    named = {
        name
        for rows in tables.rows
        for key, row in rows.items()
        if key.startswith((DEVICE, ALIAS))
        for name in (key[2:].decode(), *(entry[1] for entry in orjson.loads(row)))
    }
    for subject in IDS:
        assert (tables.ask(subject) != Answer(None, None)) == (subject in named)


@always
@given(WITH_DELETIONS, COUNTS)
def test_every_event_that_is_named_taught_what_it_is_named_for(
    events: list[Event], partitions: int
) -> None:
    tables = Tables(partitions).feed(events)
    for subject in IDS:
        device, user = (asked := tables.ask(subject)).device, asked.user
        steps = [
            *(() if user is None else (*user.aliases, *user.former)),
            *(() if device is None else device.aliases),
        ]
        for step in steps:
            event = events[step.since.position]
            assert step.message_id == f"m-{step.since.position}"
            said = (event["type"], event["previousId"], event["userId"])
            assert said == ("alias", step.old, step.new)
        logins = [
            *(() if user is None else user.devices),
            *(() if device is None else (device.login, *device.earlier)),
        ]
        for login in logins:
            event = events[login.since.position]
            if login.message_id is None:
                assert (login.user, login.email) == (None, None), "forgotten"
                continue
            assert login.message_id == f"m-{login.since.position}"
            assert login.device in [event.get(n) for n in ("anonymousId", "previousId", "userId")]


@always
@given(WITH_DELETIONS)
def test_a_device_takes_its_own_partition_only(events: list[Event]) -> None:
    tables = Tables(5).feed(events)
    tables.ask_device(DEVICES[0])
    assert {p for reading in tables.readings for p in reading} == {partition_of(DEVICES[0], 5)}
