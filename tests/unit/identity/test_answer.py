"""What is told about an id, and how it looks."""

from __future__ import annotations

import orjson
import pytest

from streams.cli.identity import as_lines
from streams.errors import StreamsError
from streams.identity.answer import Answer, Selection, answer
from streams.lookup import as_object, look_up
from streams.routing.intake import ITEM_BITS

Entries = list[list[object]]


def at(offset: int, item: int = 0) -> int:
    return offset << ITEM_BITS | item


def known(subject: str, rows: dict[str, Entries]) -> Answer:
    """What the rows of the only partition tell about an id."""
    selection = Selection(subject)
    while True:
        for key, row in rows.items():
            selection.take(key.encode(), orjson.dumps(row))
        if selection.is_complete:
            return answer(subject, 0, {0: selection.rows})
        selection.restart()


ROWS: dict[str, Entries] = {
    "d:a-1": [
        [at(3), None, "early@example.com", "m-3"],
        [at(7), "u-0", "old@example.com", "m-7"],
        [at(20), "u-1", "ann@example.com", "m-20"],
    ],
    "u:u-1\0d:a-1": [],
    "d:a-2": [[at(9), "u-1", None, "m-9"], [at(11), "u-9", None, "m-11"]],
    "d:elsewhere": [[at(1), "u-9", None, "m-1"]],
    "a:u-1": [[at(30), "u-2", "m-30"]],
    "a:u-0": [[at(12, 5), "u-1", "m-12"]],
    "a:u-9": [[at(13), "u-1", "m-13"], [at(14), "u-8", "m-14"]],
}


def text(subject: str, rows: dict[str, Entries] = ROWS) -> str:
    return "\n".join(as_lines(subject, "app-events", known(subject, rows)))


def test_a_device_is_told_with_who_was_there_before() -> None:
    assert (
        text("a-1")
        == """\
device a-1
  logged in  u-2         ann@example.com    by m-20  since [0]@20
  alias      u-1 -> u-2                     by m-30  since [0]@30
  earlier    u-0         old@example.com    by m-7   since [0]@7   until [0]@20
  earlier    nobody      early@example.com  by m-3   since [0]@3   until [0]@7

[partition]@offset are places in app-events."""
    )


def test_a_user_is_told_with_what_became_it_and_the_devices() -> None:
    assert (
        text("u-1")
        == """\
user u-1
  now       u-2
  alias     u-1 -> u-2                   by m-30  since [0]@30
  was       u-0 -> u-1                   by m-12  since [0]@12
  once was  u-9 -> u-1                   by m-13  since [0]@13  until [0]@14
  device    a-1         ann@example.com  by m-20  since [0]@20
  earlier   a-2                          by m-9   since [0]@9   until [0]@11

[partition]@offset are places in app-events."""
    )


def test_an_id_that_is_both_is_told_as_both() -> None:
    found = known("x", {"d:x": [[1, "u", None, "m-1"]], "d:y": [[2, "x", None, "m-2"]]})
    assert found.device is not None
    assert found.user is not None
    assert found.device.user == "u"
    assert [login.device for login in found.user.devices] == ["y"]


def test_a_cycle_that_ended_leaves_a_user_that_stands_for_itself() -> None:
    found = known("u", {"a:u": [[5, None, "m"]]})
    assert found.user is not None
    assert (found.user.user, found.user.aliases, found.user.former) == ("u", [], [])
    assert text("u", {"a:u": [[5, None, "m"]]}).splitlines()[:2] == ["user u", "  now  u"]


def test_a_device_goes_back_to_who_is_logged_in_when_its_alias_ends() -> None:
    device = known(
        "d",
        {
            "d:d": [[3, "u-0", "e@example.com", "m-3"]],
            "a:d": [[5, "u-9", "m-5"], [7, None, "m-7"]],
        },
    ).device
    assert device is not None
    told = [
        (login.user, login.email, login.message_id) for login in (*device.earlier, device.login)
    ]
    email = "e@example.com"
    assert told == [("u-0", email, "m-3"), ("u-9", email, "m-5"), ("u-0", email, "m-7")]


def test_a_place_in_json_is_partition_offset_and_item() -> None:
    found = as_object("u-0", "app-events", known("u-0", ROWS))
    assert found["device"] is None
    assert found["user"]["aliases"][0] == {
        "previousId": "u-0",
        "userId": "u-1",
        "messageId": "m-12",
        "since": {"partition": 0, "offset": 12, "item": 5},
        "until": None,
    }
    assert orjson.loads(orjson.dumps(found)) == found


def test_a_row_that_is_deleted_is_no_longer_known() -> None:
    selection = Selection("u")
    for value in (b'[[1,"u",null,"m"]]', None):
        selection.take(b"d:a", value)
    assert selection.rows == {}


def test_what_a_client_sent_cannot_steer_a_terminal() -> None:
    shown = text("u", {"d:\x1b[2J\u202e": [[1, "u", "a\nb@example.com", "\x07\x9b"]]})
    assert all(line.isprintable() for line in shown.splitlines())
    assert "\\x1b[2J\\u202e" in shown
    assert "a\\nb@example.com" in shown


class Foreign:
    """A topic of that name that another program writes."""

    partitions = 1

    def __init__(self, key: bytes | None, value: bytes) -> None:
        self._row = key, value

    async def read(self, partitions: object, take: object) -> None:
        take(0, *self._row)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"d:u", b"\x00avro"), (b"d:u", b"7"), (b"a:u", b'[["u"]]'), (b"d:\xff", b"[]"), (None, b"")],
)
async def test_rows_of_another_program_are_told_as_such(key: bytes | None, value: bytes) -> None:
    with pytest.raises(StreamsError, match=r"^STREAMS_APP_ID: .* partition 0 .* none of this prog"):
        await look_up("u", Foreign(key, value))
