"""Identity resolution against a reference model that is slow and obvious (G3, G5).

A sequence of events over few devices, users and emails, with aliases among them in every
direction, so that chains, cycles and self-aliases are common.
"""

from __future__ import annotations

import copy

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.events import Event
from streams.identity.rules import BROADCAST, Identities, event_email
from tests.support.reference import Knowledge

always = settings(derandomize=True, deadline=None, max_examples=300)

DEVICES, USERS = ("d1", "d2"), ("u1", "u2", "u3")
EMAILS = ("1@example.com", "2@example.com")
optional_user = st.none() | st.sampled_from(USERS)


def _plain(kind: str, device: str | None, user: str | None, email: str | None) -> Event:
    event: Event = {"type": kind}
    if device is None and user is None:
        device = DEVICES[0]
    if device is not None:
        event["anonymousId"] = device
    if user is not None:
        event["userId"] = user
    if email is not None:
        if kind == "identify":
            event["traits"] = {"email": email}
        else:
            event["context"] = {"traits": {"email": email}, "ip": "1"}
    return event


PLAIN = st.builds(
    _plain,
    st.sampled_from(["identify", "track", "page", "group"]),
    st.none() | st.sampled_from(DEVICES),
    optional_user,
    st.none() | st.sampled_from(EMAILS),
)
ALIASES = st.builds(
    lambda old, new, device: {
        "type": "alias",
        "previousId": old,
        "userId": new,
        **({} if device is None else {"anonymousId": device}),
    },
    st.sampled_from((*USERS, *DEVICES)),
    st.sampled_from(USERS),
    st.none() | st.sampled_from(DEVICES),
)
DELETIONS = st.builds(
    _plain, st.just("delete"), st.none() | st.sampled_from(DEVICES), optional_user, st.none()
)
SEQUENCES = st.lists(st.one_of(PLAIN, PLAIN, ALIASES), max_size=25)
WITH_DELETIONS = st.lists(st.one_of(PLAIN, PLAIN, ALIASES, DELETIONS), max_size=25)


def identities_of(rows: dict[bytes, bytes], horizon: int = -1) -> Identities:
    def scan(prefix: bytes) -> list[bytes]:
        return [key for key in rows if key.startswith(prefix)]

    identities = Identities(rows.get, scan, cached=2)
    identities.horizon = horizon
    return identities


def resolve(
    events: list[Event],
    rows: dict[bytes, bytes],
    *,
    start: int = 0,
    sizes: list[int] | None = None,
    horizon: int = -1,
) -> list[Event]:
    """What the resolve stage makes of events at positions from ``start`` on."""
    found: list[Event] = []
    left = list(sizes or [len(events)])
    position = start
    events = copy.deepcopy(events)
    while events:
        size = max(1, left.pop(0)) if left else len(events)
        part, events = events[:size], events[size:]
        identities = identities_of(rows, horizon)
        identities.prepare(part, lambda keys: [rows.get(key) for key in keys])
        for event in part:
            identities.resolve(event, position)
            found.append(event)
            position += 1
        for key, row in identities.take_writes().items():
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
    return found


# -- against the reference: one pass, no histories, no positions


def by_reference(events: list[Event]) -> list[Event]:
    known = Knowledge(set(DEVICES))
    found = []
    for event in events:
        known.hear(event)
        found.append(known.tell(event))
    return found


@always
@given(WITH_DELETIONS)
@example(
    [
        _plain("page", "d1", "u1", None),
        {"type": "alias", "previousId": "d1", "userId": "u3"},
        _plain("delete", None, "u3", None),
        _plain("page", "d1", None, None),
    ]
)
@example(
    [
        {"type": "alias", "previousId": "d1", "userId": "u1"},
        _plain("identify", "d1", "u2", None),
        {"type": "alias", "previousId": "d1", "userId": "u1"},
        _plain("page", "d1", None, None),
    ]
)
@example(
    [
        _plain("identify", "d1", "u1", EMAILS[0]),
        {"type": "alias", "previousId": "u1", "userId": "u2"},
        _plain("page", "d1", "u2", None),
        _plain("page", "d1", None, None),
    ]
)
def test_it_is_what_the_reference_says(events: list[Event]) -> None:
    assert resolve(events, {}) == by_reference(events)


@always
@given(WITH_DELETIONS, st.lists(st.integers(1, 6), max_size=10))
def test_chunks_of_any_size_give_the_same(events: list[Event], sizes: list[int]) -> None:
    one, many = {}, {}
    assert resolve(events, many, sizes=sizes) == resolve(events, one)
    assert many == one


@always
@given(SEQUENCES, st.integers(0, 25), st.lists(st.integers(1, 6), max_size=10))
def test_what_is_read_again_with_the_tables_ahead_gives_the_same(
    events: list[Event], first: int, sizes: list[int]
) -> None:
    rows: dict[bytes, bytes] = {}
    before = resolve(events, rows)
    ahead = dict(rows)
    # Up to ``first`` it was committed; the rest is read again.
    assert resolve(events[first:], rows, start=first, sizes=sizes) == before[first:]
    assert rows == ahead, "and teaches nothing that is not known"


@always
@given(SEQUENCES, st.integers(0, 25), st.integers(0, 25), SEQUENCES)
def test_also_when_the_crash_cut_the_tables_off_anywhere_behind_the_commit(
    events: list[Event], committed: int, known: int, more: list[Event]
) -> None:
    committed = min(committed, len(events))
    known = max(known, committed)
    whole: dict[bytes, bytes] = {}
    expected = resolve([*events, *more], whole)
    rows: dict[bytes, bytes] = {}
    resolve(events[:known], rows)
    again = resolve([*events, *more][committed:], rows, start=committed)
    assert again == expected[committed:]
    assert rows == whole


@always
@given(SEQUENCES, st.integers(0, 25), st.integers(0, 25))
def test_forgetting_the_committed_past_changes_nothing_that_is_read_again(
    events: list[Event], committed: int, upto: int
) -> None:
    committed = min(committed, len(events))
    upto = max(upto, committed)
    expected = resolve(events, {})
    rows: dict[bytes, bytes] = {}
    resolve(events[:committed], rows)
    # The horizon moves with the commit, while the events behind it are resolved ...
    resolve(events[committed:upto], rows, start=committed, horizon=committed - 1)
    # ... and after a crash they are resolved again.
    again = resolve(events[committed:], rows, start=committed, horizon=committed - 1)
    assert again == expected[committed:]


@always
@given(WITH_DELETIONS, st.integers(0, 25), st.lists(st.integers(1, 6), max_size=10))
def test_what_is_read_again_leaves_a_forgotten_person_forgotten(
    events: list[Event], first: int, sizes: list[int]
) -> None:
    rows: dict[bytes, bytes] = {}
    resolve(events, rows)
    ahead = dict(rows)
    resolve(events[first:], rows, start=first, sizes=sizes)
    assert rows == ahead


@always
@given(WITH_DELETIONS, st.integers(0, 25), st.integers(0, 25))
def test_what_comes_again_further_on_changes_nothing(
    events: list[Event], first: int, last: int
) -> None:
    # Ingest repeats what it has not committed; of that, only notes are not known by their seen.
    named = [{**event, "messageId": str(n)} for n, event in enumerate(events)]
    rows: dict[bytes, bytes] = {}
    resolve(named, rows)
    identities = identities_of(rows)
    for position, event in enumerate(named[first:last], start=len(named)):
        if event["type"] in BROADCAST:
            identities.learn_broadcast(event, position)
    assert identities.take_writes() == {}


@always
@given(SEQUENCES, st.sampled_from(USERS))
def test_nothing_is_left_of_a_person_who_is_deleted(events: list[Event], user: str) -> None:
    emailed = [
        {**event, "traits": {"email": f"{event['userId']}@example.com"}}
        if event["type"] == "identify" and "userId" in event
        else {key: value for key, value in event.items() if key not in ("traits", "context")}
        for event in events
    ]
    rows: dict[bytes, bytes] = {}
    resolve([*emailed, {"type": "delete", "userId": user}], rows)
    assert user.encode() not in b" ".join((*rows, *rows.values()))


@always
@given(WITH_DELETIONS)
def test_every_id_that_a_row_names_is_indexed_and_no_other(events: list[Event]) -> None:
    rows: dict[bytes, bytes] = {}
    resolve(events, rows)
    named = {
        b"u:%s\0%s" % (entry[1].encode(), key)
        for key, row in rows.items()
        if not key.startswith(b"u:")
        for entry in orjson.loads(row)
        if entry[1] is not None
    }
    assert {key for key in rows if key.startswith(b"u:")} == named


@always
@given(WITH_DELETIONS)
def test_a_row_stays_as_small_as_what_is_not_committed(events: list[Event]) -> None:
    rows: dict[bytes, bytes] = {}
    for position, event in enumerate(events):
        resolve([event], rows, start=position, horizon=position - 1)
    assert all(len(orjson.loads(row)) <= 2 for row in rows.values() if row)


@always
@given(SEQUENCES)
def test_only_a_replaced_user_id_is_overwritten(events: list[Event]) -> None:
    for before, after in zip(events, resolve(events, {}), strict=True):
        replaced = dict(after)
        if "userId" in before:
            replaced["userId"] = before["userId"]
        else:
            replaced.pop("userId", None)
        if event_email(before) is None and event_email(after) is not None:
            del replaced["context"]["traits"]["email"]
            if not replaced["context"]["traits"]:
                del replaced["context"]["traits"]
            if not replaced["context"]:
                del replaced["context"]
        assert replaced == before


@always
@given(st.lists(ALIASES, max_size=12))
def test_after_any_aliases_every_id_leads_to_one_that_leads_no_further(
    aliases: list[Event],
) -> None:
    rows: dict[bytes, bytes] = {}
    resolve(aliases, rows)
    now = identities_of(rows)
    for user in (*USERS, *DEVICES):
        last = now.follow(user, 1000)
        assert now.follow(last, 1000) == last
    real = [a for a in aliases if a["previousId"] != a["userId"]]
    if real:
        old, new = real[-1]["previousId"], real[-1]["userId"]
        assert now.follow(old, 1000) == now.follow(new, 1000) != old
