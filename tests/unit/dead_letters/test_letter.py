"""A dead letter is read back as it was written, and so is what a redriven record says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from streams.dead_letters import redrive
from streams.dead_letters.letter import Letter, LetterId, Mark, read
from streams.dead_letters.record import DeadLetter
from streams.dead_letters.redrive import Place, Redrive
from streams.events import Origin
from tests.support.fakes import record

RAW = b'{"type":"track","anonymousId":7.0,"userId":"u","event":"E"}'

LETTER = DeadLetter(
    raw=RAW,
    origin=Origin("source", 3, 77),
    stage="deliver",
    reason="rejected",
    text="Encharge answered 422: caf\u00e9",
    key="7",
    produced_at=1_700_000_000.123,
    action="track",
    status=422,
    attempts=2,
    is_resolved=True,
    user="u2",
    destination="encharge",
)


def stored(letter: DeadLetter, partition: int = 1, offset: int = 5) -> Any:
    made = letter.record()
    return record(
        made.value, offset, topic="dead", partition=partition, key=made.key, headers=made.headers
    )


def test_what_was_buried_is_read_back() -> None:
    found = read(stored(LETTER))
    assert isinstance(found, Letter)
    assert str(found.id) == "1@5"
    assert (found.value, found.size, found.key) == (RAW, len(RAW), b"7")
    assert (found.origin, found.produced_ms) == (LETTER.origin, 1_700_000_000_123)
    assert found.buried_ms == 1_700_000_000_005, "Kafka's timestamp, which can be looked up"
    assert (found.stage, found.reason, found.text) == ("deliver", "rejected", LETTER.text)
    assert (found.action, found.status, found.attempts) == ("track", 422, 2)
    assert (found.is_resolved, found.user, found.tries, found.redrive_of) == (True, "u2", 0, "")
    assert found.people == ("7", "u"), "as the ids are read, the lane's not twice"


def test_a_large_value_is_decompressed_and_a_truncated_one_is_not_redriven() -> None:
    large = replace(LETTER, raw=b'{"userId":"u","x":"' + b"y" * 1_000_000 + b'"}')
    found = read(stored(large))
    assert isinstance(found, Letter)
    assert (found.value, found.people, found.why_not()) == (large.raw, ("u", "7"), None)
    cut = read(stored(large.truncated()))
    assert isinstance(cut, Letter)
    assert cut.truncated_from == 1_000_021
    assert cut.why_not() == "truncated: only 100000 of 1000021 bytes were kept"
    assert cut.people == ("7",), "its key still tells"


@pytest.mark.parametrize("value", [None, b"", b"[1]", b"\xff\xfe", b'{"userId":{}}', b"{"])
def test_any_bytes_make_a_letter(value: bytes | None) -> None:
    found = read(stored(replace(LETTER, raw=value, key=None)))
    assert isinstance(found, Letter)
    assert (found.value, found.people) == (value, ())


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", b"00")],
        [("dlq.stage", b"deliver")],
        [*LETTER.record().headers, ("dlq.offset", b"x")],
        [*LETTER.record().headers, ("dlq.content-encoding", b"gzip")],
        [("dlq.mark", b"redriven"), ("dlq.id", b"x")],
        [("dlq.mark", b"other"), ("dlq.id", b"0@1")],
    ],
)
def test_what_others_write_to_the_topic_is_no_letter(headers: list[tuple[str, bytes]]) -> None:
    assert read(record(RAW, headers=headers)) is None


def test_a_mark_is_read_back() -> None:
    found = read(record(b"redriven", 9, headers=Mark.headers(LetterId(1, 5))))
    assert found == Mark(LetterId(1, 5), 1_700_000_000_009)


def test_an_id_is_partition_and_offset() -> None:
    assert LetterId.parse("3@1207") == LetterId(3, 1207)
    for text in ("", "3", "3@", "@3", "-1@3", "3@1.0", "3@1 ", "9" * 30 + "@1"):
        assert LetterId.parse(text) is None


def test_a_redriven_record_says_what_the_new_place_would_make_false() -> None:
    letter = read(stored(LETTER))
    assert isinstance(letter, Letter)
    again = redrive.read(letter.next_headers())
    assert again == (
        Redrive(1, "1@5", is_resolved=True, user="u2", destination="encharge"),
        Place(Origin("source", 3, 77), 1_700_000_000_123),
    )
    # The next letter says that it is another try; and so does the next try.
    second = read(stored(replace(LETTER, redrive=again[0]), offset=6))
    assert isinstance(second, Letter)
    assert (second.tries, second.redrive_of) == (1, "1@5")
    assert second.next_try()[0].tries == 2
    assert second.redriven([1, 2]).next_try()[0].tries == 4
    assert orjson.loads(orjson.dumps(tuple(again[0]))) == [1, "1@5", True, "u2", "encharge"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dlq.redriven", b"x"),
        ("dlq.redriven", b"0"),
        ("dlq.redriven", None),
        ("dlq.offset", b"-1"),
        ("dlq.offset", b"9" * 30),
        ("dlq.partition", b""),
        ("dlq.produced-at", b"9" * 30),
        ("dlq.user-id", b"\xff"),
        ("dlq.id", b"\xff"),
    ],
)
def test_headers_that_only_look_like_a_redrive_count_for_nothing(
    name: str, value: bytes | None
) -> None:
    letter = read(stored(LETTER))
    assert isinstance(letter, Letter)
    assert redrive.read([*letter.next_headers(), (name, value)]) is None
    assert redrive.read([(n, v) for n, v in letter.next_headers() if n != "dlq.id"]) is None
    assert redrive.read([("dlq.id", b"1@5")]) is None


def test_a_stage_record_is_not_an_event_to_send_again() -> None:
    odd = read(stored(replace(LETTER, stage="resolve", reason="unreadable-stage-record")))
    assert isinstance(odd, Letter)
    assert (odd.why_not() or "").startswith("not an event: a record of source")


def test_what_the_gateway_refused_cannot_be_redriven() -> None:
    refused = read(stored(replace(LETTER, stage="gateway", origin=Origin("source", -1, -1))))
    assert isinstance(refused, Letter)
    assert (refused.why_not() or "").startswith("refused: it was never on source")
