"""`streams explain`: one answer a line, whatever the line is."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import orjson

from streams.destinations.encharge import PRESETS, Encharge
from streams.explain import Explainer


def answers(*lines: Any, learns: bool = False) -> list[dict[str, Any]]:
    def configure(subscriptions: Any) -> list[Encharge]:
        own = PRESETS if subscriptions is None else subscriptions
        return [Encharge(api_key="key", subscriptions=own)]

    raw = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    return [orjson.loads(line) for line in Explainer(configure, learns=learns).lines(raw)]


def test_an_event_and_what_would_be_sent() -> None:
    [answer] = answers({"type": "track", "userId": "u", "event": "Paid"})
    assert (answer["outcome"], answer["error"], answer["id"]) == ("delivered", None, None)
    [request] = answer["requests"]
    assert request["url"] == "https://ingest.encharge.io/v1"
    assert request["headers"]["X-Encharge-Token"] == "key"
    assert request["body"]["event"] == "Paid"


def test_a_case_with_an_id_and_subscriptions_of_its_own() -> None:
    case = {
        "id": "c-1",
        "event": {"type": "track", "userId": "u", "event": "Paid"},
        "subscriptions": [],
    }
    [answer] = answers(case)
    assert answer == {"id": "c-1", "requests": [], "error": None, "outcome": "filtered"}


def test_a_track_whose_event_is_a_text_is_a_bare_event() -> None:
    [answer] = answers({"event": "Paid", "type": "track", "userId": "u"})
    assert answer["outcome"] == "delivered"


def test_deletions_with_and_without_an_id() -> None:
    by_op, by_type, nobody, not_asked = answers(
        {"id": 1, "op": "delete", "event": {"userId": "u"}},
        {"type": "delete", "anonymousId": "a"},
        {"id": 3, "op": "delete", "event": {}},
        {"id": 4, "event": {"type": "delete", "userId": "u"}},
    )
    assert [by_op["requests"][0]["method"], by_type["outcome"]] == ["DELETE", "delivered"]
    assert (nobody["requests"], nobody["error"], nobody["outcome"]) == ([], None, "filtered")
    assert not_asked["outcome"] == "filtered", "a case says what to do in its op"


def test_what_is_wrong_is_told_with_its_line_and_the_rest_goes_on() -> None:
    broken, scalar, unmapped, bad_case, good = answers(
        b"{not json",
        b"7",
        {"type": "track", "userId": "u"},
        {"id": 4, "event": {"type": "page"}, "subscriptions": [{"partnerAction": "nonsense"}]},
        {"type": "page", "userId": "u"},
    )
    assert broken["error"].startswith("line 1: ")
    assert scalar["error"].startswith("line 2: ")
    assert "event" in unmapped["error"]
    assert (bad_case["id"], bad_case["error"].startswith("line 4: subscriptions[0]")) == (4, True)
    assert {a["outcome"] for a in (broken, scalar, unmapped, bad_case)} == {"invalid"}
    assert good["outcome"] == "delivered"


def test_identities_are_learnt_only_when_asked_for() -> None:
    visit = {"type": "page", "anonymousId": "a", "messageId": "1"}
    login = {"type": "identify", "anonymousId": "a", "userId": "u", "messageId": "2"}
    lines = (visit, login, {**visit, "messageId": "3"})

    def users(found: list[dict[str, Any]]) -> list[str | None]:
        return [answer["requests"][0]["body"].get("userId") for answer in found]

    assert users(answers(*lines)) == [None, "u", None]
    assert users(answers(*lines, learns=True)) == [None, "u", "u"]


def test_the_command_reads_standard_input_and_skips_blank_lines() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streams", "explain"],
        input=b'{"type":"page","userId":"u"}\n\n{"type":"screen","userId":"u"}\n',
        capture_output=True,
        check=True,
        timeout=60,
    )
    found = [orjson.loads(line)["outcome"] for line in done.stdout.splitlines()]
    assert found == ["delivered", "filtered"]


def test_a_file_that_is_not_there_is_a_usage_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streams", "explain", "/nowhere/events.ndjson"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == "streams: /nowhere/events.ndjson: No such file or directory"
