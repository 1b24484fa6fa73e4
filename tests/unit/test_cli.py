"""The command line as a person meets it: help, exit status, one line for an error."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.cli import dlq, output
from streams.dead_letters.letter import value_object
from streams.dead_letters.reasons import STAGES
from streams.identity.answer import Answer, Device, Login, Place, Step, User
from streams.lookup import as_object
from streams.settings import Settings, at_fault, describe
from tests.support.gateway import KEY, served
from tests.unit.dead_letters.test_selection import letter


def streams(*arguments: str | bytes, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KAFKA_", "STREAMS_", "ENCHARGE_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        env={**environment, "COLUMNS": "200", "NO_COLOR": "1", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], status: int, *texts: str) -> None:
    assert done.returncode == status, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for text in texts:
        assert text in lines[0]
    assert done.stdout == ""


def test_help_lists_the_commands() -> None:
    done = streams("--help")
    assert done.returncode == 0
    for command in ("worker", "gateway", "send", "identity", "dlq", "dev"):
        assert command in done.stdout


def test_the_worker_s_help_lists_every_setting_with_its_default_and_has_an_example() -> None:
    done = streams("worker", "--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    for name, default, _ in describe():
        assert f"{name} = {default}:" in text
    assert "Example:" in text


@pytest.mark.parametrize("command", [("broker",), ("encharge",), ("up",)])
def test_every_dev_command_has_an_example(command: tuple[str]) -> None:
    done = streams("dev", *command, "--help")
    assert done.returncode == 0
    assert f"Example: streams dev {command[0]}" in done.stdout


def test_the_script_is_the_module() -> None:
    script = Path(sys.executable).with_name("streams")
    done = subprocess.run(
        [script, "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "worker" in done.stdout


@pytest.mark.parametrize("arguments", [("nonsense",), ("worker", "--nonsense"), ("worker", "x")])
def test_a_wrong_command_line_is_status_2(arguments: tuple[str, ...]) -> None:
    done = streams(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STREAMS_PARTITIONS", "0"),
        ("STREAMS_TABLE_STORE", "postgres"),
        ("ENCHARGE_API_URL", "api.encharge.io"),
    ],
)
def test_a_wrong_setting_is_status_2_and_one_line_that_names_it(name: str, value: str) -> None:
    done = streams("worker", ENCHARGE_API_KEY="k", **{name: value})
    assert_one_line(done, 2, f"{name}:")


def test_a_worker_without_a_key_is_status_2() -> None:
    assert_one_line(streams("worker"), 2, "ENCHARGE_API_KEY")
    assert_one_line(streams("worker", ENCHARGE_API_KEY=""), 2, "ENCHARGE_API_KEY")


def test_a_data_directory_that_cannot_be_made_is_status_2(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    done = streams("worker", ENCHARGE_API_KEY="k", STREAMS_DATA_DIR=str(blocked / "data"))
    assert_one_line(done, 2, "STREAMS_DATA_DIR")


def test_a_broker_that_is_not_there_is_status_1_and_named(tmp_path: Path) -> None:
    done = streams(
        "worker",
        ENCHARGE_API_KEY="k",
        STREAMS_DATA_DIR=str(tmp_path),
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("streams: KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "broker:notaport"),
        ("KAFKA_SASL_MECHANISM", "NONSENSE"),
        ("ENCHARGE_API_URL", "http://[bad"),
    ],
)
def test_what_a_client_would_stumble_over_is_named(tmp_path: Path, name: str, value: str) -> None:
    sasl = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": "me",
        "KAFKA_SASL_PASSWORD": "secret",
    }
    done = streams(
        "worker",
        **{"ENCHARGE_API_KEY": "k", "STREAMS_DATA_DIR": str(tmp_path), **sasl, name: value},
    )
    assert_one_line(done, 2, name)


def test_the_help_of_the_gateway_has_an_example() -> None:
    done = streams("gateway", "--help")
    assert done.returncode == 0
    assert "Example: STREAMS_WRITE_KEYS=" in done.stdout
    assert "--open" in done.stdout


def test_a_gateway_without_a_broker_is_status_1_and_named() -> None:
    done = streams("gateway", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("streams: KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STREAMS_WRITE_KEYS", "k:a b"),
        ("STREAMS_SOURCE_TOPIC", "a,b"),
        ("STREAMS_GATEWAY_PORT", "x"),
    ],
)
def test_a_wrong_setting_of_the_gateway_is_status_2(name: str, value: str) -> None:
    done = streams("gateway", **{name: value})
    named = "STREAMS_GATEWAY_TOPIC" if name == "STREAMS_SOURCE_TOPIC" else name
    assert_one_line(done, 2, f"{named}:")


@pytest.mark.parametrize("kind", ["identify", "track", "page", "screen", "group", "alias", "batch"])
def test_every_kind_that_can_be_sent_has_an_example(kind: str) -> None:
    done = streams("send", kind, "--help")
    assert done.returncode == 0
    assert f"Example: streams send {kind}" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("track",),
        ("alias", "u"),
        ("identify", "--traits", "[1]"),
        ("identify", "--traits", "{"),
        ("track", "x", "--currency", "euro"),
        ("track", "x", "--revenue", "1", "--properties", '{"revenue": 2}'),
        ("track", b"\xff"),
        ("group", b"\xff"),
        ("alias", "u", b"\xff"),
        ("page", b"\xff"),
        ("page", "--user-id", b"\xff"),
        ("page", "--anonymous-id", b"\xff"),
        ("page", "--message-id", b"\xff"),
        ("page", "--timestamp", b"\xff"),
        ("page", "--category", b"\xff"),
        ("page", "--properties", b"\xff"),
        ("page", "--write-key", b"\xff"),
        ("page", "--to", b"\xff"),
        ("track", "x", "--currency", b"\xff"),
        ("batch", b"\xff"),
        ("batch", "/nowhere"),
        ("batch", "/dev/null"),
    ],
)
def test_what_cannot_be_sent_is_status_2(arguments: tuple[str | bytes, ...]) -> None:
    done = streams("send", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_sending_to_nobody_is_status_1_and_one_line() -> None:
    done = streams("send", "page", "--to", "http://127.0.0.1:1", "--tries", "1")
    assert_one_line(done, 1, "streams: http://127.0.0.1:1", "no-answer")


async def test_an_event_and_a_file_are_sent(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text('{"type":"page","userId":"u"}\n\n{"type":"track","userId":"u","event":"x"}\n')
    shared = tmp_path / "batch.json"
    shared.write_text(
        '{"batch": [{"type":"page"}, {"type":"page","userId":"u"}], "context": {"a":1}}'
    )
    async with served() as gateway:
        variables = {
            "STREAMS_WRITE_KEYS": f"{KEY}:web",
            "STREAMS_GATEWAY_PORT": gateway.url.rpartition(":")[2],
        }

        async def send(*arguments: str) -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(streams, "send", *arguments, **variables)

        done = await send("track", "Bought", "--user-id", "u", "--revenue", "9.5", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert orjson.loads(done.stdout) == {
            "success": True,
            "event": "Bought",
            "userId": "u",
            "anonymousId": None,
        }
        done = await send("batch", str(file))
        assert (done.returncode, done.stdout) == (0, "stored  count 2\n")
        done = await send("batch", str(shared))
        assert (done.returncode, done.stdout) == (1, "stored  count 1\n")
        assert "event 1: The event has neither" in done.stderr
        found = gateway.events()
    assert [event["type"] for event in found] == ["track", "page", "track", "page"]
    assert found[0]["properties"] == {"revenue": 9.5, "currency": "USD"}
    assert found[3]["context"] == {"a": 1}


def test_the_help_of_identity_has_an_example_and_names_every_key_of_the_json() -> None:
    done = streams("identity", "--help")
    assert done.returncode == 0
    assert "Example: KAFKA_BOOTSTRAP_SERVERS=kafka:9092 streams identity" in done.stdout
    place = Place(0, 0)
    login, step = Login("d", "u", None, place, "m", place), Step("u", "v", place, "m")
    answer = Answer(Device("v", None, login, [step], [login]), User("v", [step], [step], [login]))
    names: set[str] = set()

    def collect(value: Any) -> None:
        for name, inner in value.items() if isinstance(value, dict) else ():
            names.add(name)
            collect(inner)
        for inner in value if isinstance(value, list) else ():
            collect(inner)

    collect(as_object("d", "t", answer))
    assert {name for name in names if f'"{name}"' not in done.stdout} == set()


def test_identity_without_a_broker_is_status_1_and_one_line() -> None:
    done = streams("identity", "u", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert_one_line(
        done, 1, "streams: KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1: ", "Connect call failed"
    )


@pytest.mark.parametrize("arguments", [(), ("",), (b"\xff",), ("u", "v"), ("u", "--nonsense")])
def test_identity_takes_one_id(arguments: tuple[str, ...]) -> None:
    done = streams("identity", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("protocol", "trouble", "named"),
    [
        ("PLAINTEXT", "Connect call failed", "KAFKA_BOOTSTRAP_SERVERS="),
        ("SASL_PLAINTEXT", "Connect call failed", "KAFKA_BOOTSTRAP_SERVERS="),
        ("SASL_PLAINTEXT", "[Error 58] SaslAuthenticationFailed", "KAFKA_SASL_MECHANISM, "),
        ("SASL_PLAINTEXT", "[Error 29] TopicAuthorizationFailedError", "KAFKA_SASL_MECHANISM, "),
    ],
)
def test_identity_names_the_setting_at_fault(protocol: str, trouble: str, named: str) -> None:
    settings = Settings(
        kafka_security_protocol=protocol,
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="me",
        kafka_sasl_password="secret",
    )
    assert at_fault(settings, trouble).startswith(named)


def test_identity_tells_on_a_terminal_how_far_it_is_and_wipes_it_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "PATIENCE_SECONDS", 0)
    with output.Progress("topic") as progress:
        progress.tell(1, 2000)
    assert capsys.readouterr().err == "", "no terminal"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with output.Progress("topic") as progress:
        progress.tell(1, 2000)
        assert "reading topic: 1 of 2,000" in capsys.readouterr().err
    assert capsys.readouterr().err.endswith("\r\x1b[K")


@pytest.mark.parametrize("command", ["ls", "show", "redrive"])
def test_every_dlq_command_has_an_example(command: str) -> None:
    done = streams("dlq", command, "--help")
    assert done.returncode == 0
    assert f"Example: streams dlq {command}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ls", "--since", "yesterday"), "nor an age such as 30s"),
        (("ls", "--stage", "delivery"), "one of gateway, ingest, resolve, deliver"),
        (("ls", "--limit", "0"), "--limit"),
        (("ls", "--person", b"\xff"), "UTF-8"),
        (("show", "3"), "partition@offset"),
        (("redrive", "3@1", "x"), "partition@offset"),
        (("redrive", "3@1"), "--yes"),
    ],
)
def test_dlq_tells_what_is_wrong_with_the_command_line(
    arguments: tuple[str, ...], said: str
) -> None:
    done = streams("dlq", *arguments, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_dlq_without_a_broker_is_status_1_and_one_line() -> None:
    done = streams("dlq", "ls", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert_one_line(done, 1, "streams: KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1: ")


@pytest.mark.parametrize("stage", STAGES)
def test_the_letters_of_every_stage_can_be_asked_for(stage: str) -> None:
    # The next complaint is about the broker.
    done = streams("dlq", "ls", "--stage", stage, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert_one_line(done, 1, "streams: KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1: ")


def test_a_letter_cannot_steer_a_terminal() -> None:
    found = letter(1, text="\x1b[2J", people=("\x1b]0;x",), value=b"\x1b[31m\n\xc3\xa9", size=8)
    shown = "\n".join([*dlq.as_lines(found), *dlq._line(found)])
    assert "\x1b" not in shown
    assert "\u00e9" in shown
    binary = letter(1, value=b"\xff\x00")
    assert dlq.as_lines(binary)[-1] == r"\xff\x00"
    assert value_object(binary) == {"value": None, "valueBase64": "/wA="}
    assert value_object(letter(1, value=None)) == {"value": None}
