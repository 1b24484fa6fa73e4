"""The sample log: reproducible, in proportion, with every story in it, and valid."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from streams.dev import sample
from streams.dev.sample import SampleFacts, SampleRecord

ROOT = Path(__file__).parents[3]
Event = dict[str, Any]


def read(value: bytes) -> Event | None:
    try:
        event = json.loads(value)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def moment(event: Event) -> datetime:
    return datetime.fromisoformat(event.get("timestamp") or event["originalTimestamp"])


def lane(event: Event) -> str:
    """A device, or a userId without one; an imported person's alias goes with the old id."""
    if event.get("anonymousId") is not None:
        return str(event["anonymousId"])
    return str(event.get("previousId") or event["userId"])


@pytest.fixture(scope="module")
def records() -> list[SampleRecord]:
    return sample.load()


@pytest.fixture(scope="module")
def facts(records: list[SampleRecord]) -> SampleFacts:
    return sample.expected(records)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads((ROOT / "schemas/segment-event/v1.json").read_text("utf-8"))
    return Draft202012Validator(schema)


@pytest.fixture(scope="module")
def events(records: list[SampleRecord], validator: Draft202012Validator) -> list[Event]:
    """The normal ones, each messageId once, in order of arrival."""
    found: dict[str, Event] = {}
    for record in records:
        event = read(record.value)
        if event is not None and len(record.value) <= 32 * 1024 and validator.is_valid(event):
            found.setdefault(event["messageId"], event)
    return list(found.values())


@pytest.fixture(scope="module")
def lanes(events: list[Event]) -> dict[str, list[Event]]:
    by_lane: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_lane[lane(event)].append(event)
    return by_lane


class TestFile:
    def test_is_what_the_generator_writes(self) -> None:
        assert sample.SAMPLE_FILE.read_bytes() == sample.dump(sample.generate())

    def test_command_writes_the_same_bytes_in_any_locale(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "streams.dev.sample"],
            cwd=ROOT,
            env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONHASHSEED": "1"},
            capture_output=True,
            check=True,
        )
        assert done.stdout == sample.SAMPLE_FILE.read_bytes()
        assert done.stderr == b""

    def test_loads_to_what_was_generated(self, records: list[SampleRecord]) -> None:
        assert records == sample.generate()

    def test_size(self, records: list[SampleRecord]) -> None:
        assert 2_200 <= len(records) <= 2_600
        assert sample.SAMPLE_FILE.stat().st_size < 1_600_000

    def test_every_line_is_an_object_with_a_key_and_one_value(self) -> None:
        names = set()
        for line in sample.SAMPLE_FILE.read_text("utf-8").splitlines():
            key, value = json.loads(line)
            assert key == "key"
            names.add(value)
        assert names == {"event", "raw", "raw_base64"}

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"null",
            b"\xff\x00",
            b'{"a":1}',
            b'{"a": 1}',
            b'{"a":1,"a":2}',
            b'{"a":1.50}',
            b'{"a":"\\ud800"}',
            '{"ö":"\\u00f6"}'.encode(),
            '{"ö":"\u2028"}'.encode(),
            b"two\nlines",
        ],
    )
    @pytest.mark.parametrize("key", [None, b"", "clé".encode()])
    def test_any_value_survives_the_file(
        self, key: bytes | None, value: bytes, tmp_path: Path
    ) -> None:
        path = tmp_path / "log.ndjson"
        path.write_bytes(sample.dump([SampleRecord(key, value)]))
        assert sample.load(path) == [SampleRecord(key, value)]


class TestGenerate:
    def test_depends_on_the_seed(self) -> None:
        assert sample.generate(40, seed=1) == sample.generate(40, seed=1)
        assert sample.generate(40, seed=1) != sample.generate(40, seed=2)

    @pytest.mark.parametrize("people", [1, 2, 11, 12, 40, 500])
    def test_tells_of_as_many_people_as_asked(self, people: int) -> None:
        found = sample.expected(sample.generate(people, seed=3))
        assert found.people == people
        assert found.showcase.email == sample.SHOWCASE_EMAIL

    def test_spans_two_weeks_in_order_of_arrival(self, events: list[Event]) -> None:
        times = [moment(event) for event in events]
        assert times[0] >= sample.START
        assert times[-1] < sample.END
        assert timedelta(days=13) < times[-1] - times[0]
        # Arrival is a little later than the event, so neighbours may be swapped by a second.
        furthest = times[0]
        for time in times:
            assert time > furthest - timedelta(seconds=1)
            furthest = max(furthest, time)

    def test_people_interleave(self, events: list[Event]) -> None:
        pairs = list(itertools.pairwise(events))
        assert sum(lane(one) != lane(two) for one, two in pairs) > len(events) / 5

    def test_order_of_a_device_is_causal(self, lanes: dict[str, list[Event]]) -> None:
        for of_lane in lanes.values():
            times = [moment(event) for event in of_lane]
            assert times == sorted(times)

    def test_a_later_user_id_follows_an_identify_or_an_alias(
        self, lanes: dict[str, list[Event]]
    ) -> None:
        for of_lane in lanes.values():
            if of_lane[0].get("anonymousId") is None:
                continue
            introduced: set[str] = set()
            for event in of_lane:
                if event["type"] in {"identify", "alias"} and event.get("userId"):
                    introduced.add(event["userId"])
                assert event.get("userId") is None or event["userId"] in introduced


class TestFacts:
    def test_proportions(self, records: list[SampleRecord], facts: SampleFacts) -> None:
        assert facts.records == len(records)
        assert facts.records == facts.events + facts.duplicates + sum(facts.invalid.values())
        assert facts.people == 320
        assert 0.010 <= facts.duplicates / facts.records <= 0.020
        assert 0.007 <= sum(facts.invalid.values()) / facts.records <= 0.015
        assert 0.010 <= facts.filtered["integrations"] / facts.records <= 0.030
        assert facts.deliverable == facts.events - sum(facts.filtered.values())
        assert facts.deliverable > 2_000

    def test_every_type_is_there(self, facts: SampleFacts) -> None:
        assert set(facts.by_type) == {"identify", "track", "page", "screen", "group", "alias"}
        assert min(facts.by_type.values()) >= 15
        assert facts.filtered["screen"] == facts.by_type["screen"]

    def test_every_way_to_be_invalid_is_there(self, facts: SampleFacts) -> None:
        assert set(facts.invalid) == {
            *("empty", "too-large", "invalid-utf8", "not-json", "not-an-object"),
            *("no-type", "unknown-type", "no-ids"),
        }
        assert facts.invalid["too-large"] == 1

    def test_agree_with_the_schema(self, events: list[Event], facts: SampleFacts) -> None:
        assert len(events) == facts.events

    def test_every_normal_event_is_valid(
        self, records: list[SampleRecord], facts: SampleFacts, validator: Draft202012Validator
    ) -> None:
        readable = [event for record in records if (event := read(record.value)) is not None]
        wrong = [event for event in readable if not validator.is_valid(event)]
        flawed = ("no-type", "unknown-type", "no-ids")
        assert len(wrong) == sum(facts.invalid[reason] for reason in flawed)

    def test_no_showcase_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="person001"):
            sample.expected([])

    def test_showcase_person_does_a_bit_of_everything(
        self, events: list[Event], facts: SampleFacts
    ) -> None:
        person = facts.showcase
        assert person.user_id == "user-001"
        theirs = [
            event
            for event in events
            if person.anonymous_id == event.get("anonymousId")
            or person.user_id == event.get("userId")
        ]
        first = next(n for n, event in enumerate(theirs) if event["type"] == "identify")
        assert {event["type"] for event in theirs[:first]} == {"page"}
        assert not any("userId" in event for event in theirs[:first])
        after = theirs[first:]
        assert {event["type"] for event in after} == {"identify", "track", "page", "group"}
        assert any(event.get("userId") is None for event in after)
        assert any(event.get("event") == "Invoice Paid" for event in after)
        assert all(event.get("userId") in {None, person.user_id} for event in theirs)


class TestStories:
    def test_anonymous_visits_with_campaigns_and_referrers(self, events: list[Event]) -> None:
        visits = [
            event
            for event in events
            if event["type"] == "page"
            and not event.get("userId")
            and "campaign" in event["context"]
        ]
        assert len(visits) > 50
        assert all("utm_source=" in event["properties"]["search"] for event in visits)
        assert {event["properties"]["referrer"] for event in visits} > {""}

    def test_sign_up_is_an_identify_then_signed_up(self, lanes: dict[str, list[Event]]) -> None:
        found = 0
        for of_lane in lanes.values():
            for before, event in itertools.pairwise(of_lane):
                if event.get("event") == "Signed Up":
                    assert before["type"] == "identify"
                    traits = before.get("traits") or before["context"]["traits"]
                    assert {"email", "firstName", "lastName", "plan", "createdAt"} <= set(traits)
                    found += 1
        assert found > 150

    def test_addresses_are_placeholders(self, events: list[Event]) -> None:
        for event in events:
            traits = {**event.get("traits", {}), **event["context"].get("traits", {})}
            if event["type"] == "identify" and "email" in traits:
                assert traits["email"].endswith(("@example.com", "@example.org"))
                assert traits.get("lastName", "Example") == "Example"

    def test_anonymous_events_after_a_login(self, lanes: dict[str, list[Event]]) -> None:
        late = 0
        for of_lane in lanes.values():
            known = False
            for event in of_lane:
                late += known and event.get("userId") is None
                known = known or event.get("userId") is not None
        assert late > 50

    def test_newsletter_address_without_a_user_id(self, events: list[Event]) -> None:
        assert any(
            event["type"] == "identify" and "userId" not in event and "email" in event["traits"]
            for event in events
        )

    @pytest.mark.parametrize(
        ("library", "version", "prefix"),
        [
            ("analytics.js", "npm:next-1.84.3", "ajs-next-"),
            ("@segment/analytics-node", "3.1.0", "node-next-"),
            ("analytics-python", "2.4.0", ""),
            ("analytics-python", "2.1.9", ""),
            ("analytics-node", "3.0.13", ""),
            ("analytics-kotlin", "1.20.0", ""),
        ],
    )
    def test_every_client_library(
        self, events: list[Event], library: str, version: str, prefix: str
    ) -> None:
        theirs = [
            event
            for event in events
            if event["context"]["library"] == {"name": library, "version": version}
        ]
        assert len(theirs) > 20
        assert all(event["messageId"].startswith(prefix) for event in theirs)
        assert all(len(event["messageId"]) <= 100 for event in theirs)

    def test_message_id_of_the_browser_has_the_time_in_it(self, events: list[Event]) -> None:
        for event in events:
            if event["messageId"].startswith(("ajs-next-", "node-next-")):
                ms = int(event["messageId"].split("-")[2])
                assert datetime.fromtimestamp(ms / 1000, UTC) == moment(event)

    def test_server_side_invoice(self, events: list[Event]) -> None:
        paid = [
            event
            for event in events
            if event.get("event") == "Invoice Paid"
            and event["context"]["library"]["name"] == "analytics-python"
        ]
        assert len(paid) > 30
        for event in paid:
            assert event["anonymousId"] is None
            assert event["timestamp"].endswith("+00:00")
            assert event["properties"]["revenue"] > 0
            assert event["properties"]["currency"] in {"USD", "EUR"}

    def test_rudder_quirks(self, events: list[Event]) -> None:
        identifies = [event for event in events if event["type"] == "identify"]
        assert any("traits" in event["context"] and "traits" not in event for event in identifies)
        assert any("timestamp" not in event and "originalTimestamp" in event for event in events)

    def test_skewed_clock(self, events: list[Event]) -> None:
        skewed = [event for event in events if "receivedAt" in event]
        assert skewed
        for event in skewed:
            received, sent, original = (
                datetime.fromisoformat(event[name])
                for name in ("receivedAt", "sentAt", "originalTimestamp")
            )
            assert moment(event) == received - (sent - original)

    def test_companies_have_several_people(self, events: list[Event]) -> None:
        members: dict[str, set[str]] = defaultdict(set)
        for event in events:
            if event["type"] == "group":
                members[event["groupId"]].add(str(event["userId"]))
        assert len(members) > 20
        assert sum(len(people) > 1 for people in members.values()) > 10

    def test_temporary_ids_are_used_after_the_alias(self, events: list[Event]) -> None:
        renamed: dict[str, str] = {}
        before: set[str] = set()
        late: set[str] = set()
        for event in events:
            user = event.get("userId")
            if event["type"] == "alias":
                renamed[event["previousId"]] = str(user)
                assert event["previousId"] in before
                assert event["previousId"] != user
            elif user in renamed:
                late.add(str(user))
            before.add(str(user))
        assert set(renamed) == late
        assert {old.split("-")[0] for old in renamed} == {"signup", "import"}

    def test_shared_computers_and_second_devices(self, lanes: dict[str, list[Event]]) -> None:
        devices: dict[str, set[str]] = defaultdict(set)
        shared = 0
        for name, of_lane in lanes.items():
            users = [event["userId"] for event in of_lane if event.get("userId") is not None]
            permanent = {str(user) for user in users if not str(user).startswith("signup-")}
            if of_lane[0].get("anonymousId") is not None:
                shared += len(permanent) == 2
                for user in permanent:
                    devices[user].add(name)
        assert shared >= 10
        assert sum(len(names) == 2 for names in devices.values()) >= 10

    def test_identifies_in_a_row(self, lanes: dict[str, list[Event]]) -> None:
        rows = 0
        for of_lane in lanes.values():
            kinds = "".join(event["type"][0] for event in of_lane)
            rows += "ii" in kinds
        assert rows > 20

    def test_duplicates_come_later_and_unchanged(
        self, records: list[SampleRecord], facts: SampleFacts
    ) -> None:
        seen: dict[str, SampleRecord] = {}
        repeats = 0
        for record in records:
            event = read(record.value)
            if event is None or "messageId" not in event:
                continue
            first = seen.setdefault(event["messageId"], record)
            assert first == record
            repeats += first is not record
            if first is not record:
                assert event["type"] != "screen"
        assert repeats == facts.duplicates

    def test_integrations(self, events: list[Event]) -> None:
        flags = [event.get("integrations", {}) for event in events]
        assert any(flag.get("All") is False and len(flag) < 3 for flag in flags)
        assert any(flag.get("Encharge (Actions)") is False for flag in flags)
        assert {"All": False, "Encharge (Actions)": True} in flags

    def test_numeric_user_ids_also_as_text(self, events: list[Event]) -> None:
        ids = [event.get("userId") for event in events]
        numbers = {user for user in ids if isinstance(user, int)}
        assert len(numbers) >= 5
        assert {str(user) for user in numbers} <= {user for user in ids if isinstance(user, str)}


class TestKeys:
    def test_every_kind_of_key(self, records: list[SampleRecord]) -> None:
        kinds: dict[str, int] = defaultdict(int)
        for record in records:
            event = read(record.value) or {}
            if record.key is None:
                kinds["none"] += 1
            elif record.key.decode() == str(event.get("userId")):
                kinds["userId"] += 1
            elif record.key.decode() == event.get("anonymousId"):
                kinds["anonymousId"] += 1
            else:
                kinds["uuid"] += 1
        assert set(kinds) == {"none", "userId", "anonymousId", "uuid"}
        assert min(kinds.values()) > 100


class TestPartitionFor:
    @pytest.mark.parametrize("partitions", [1, 4, 16])
    def test_one_lane_one_partition(self, records: list[SampleRecord], partitions: int) -> None:
        placed: dict[str, set[int]] = defaultdict(set)
        used = set()
        for index, record in enumerate(records):
            partition = sample.partition_for(record, partitions, index=index)
            used.add(partition)
            event = read(record.value) or {}
            if event.get("anonymousId") or event.get("userId"):
                placed[lane(event)].add(partition)
        assert used == set(range(partitions))
        assert all(len(of_lane) == 1 for of_lane in placed.values())

    def test_is_stable(self) -> None:
        record = SampleRecord(b"any", b'{"anonymousId":"device-1","userId":"user-1"}')
        assert sample.partition_for(record, 1_000) == 697

    def test_number_and_text_are_one_user(self) -> None:
        number = SampleRecord(None, b'{"userId":10006}')
        text = SampleRecord(None, b'{"userId":"10006","anonymousId":null}')
        assert sample.partition_for(number, 97) == sample.partition_for(text, 97)

    @pytest.mark.parametrize("value", [b"", b"nonsense", b"\xff", b"[1]", b'{"userId":null}'])
    def test_without_ids_by_index(self, value: bytes) -> None:
        record = SampleRecord(None, value)
        assert [sample.partition_for(record, 3, index=n) for n in range(4)] == [0, 1, 2, 0]
