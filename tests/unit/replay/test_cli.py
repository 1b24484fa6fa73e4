"""``streams replay`` as a person meets it; the functional tests have it produce."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from streams.cli import replay
from streams.cli.main import app
from streams.cli.replay import HELP, Options, _checkpoint_path, _Command, _duration, _one_topic
from streams.errors import SettingsError
from streams.replay import sources
from streams.replay.filters import Filter
from streams.settings import Settings
from tests.unit.test_cli import assert_one_line, streams

LINES = (
    b'{"type":"track","event":"Paid","userId":"u-1","timestamp":"2026-11-02T08:00:00Z"}\n'
    b"oops\n"
    b'{"type":"page","anonymousId":"a-1","timestamp":"2026-11-03T08:00:00Z"}\n'
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(LINES)
    return path


def test_help_has_an_example_and_every_option() -> None:
    done = CliRunner().invoke(app, ["replay", "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "Example: streams replay" in done.output
    for option in ("--since", "--until", "--type", "--event", "--person", "--rate", "--dry-run"):
        assert option in done.output


def test_a_dry_run_needs_neither_broker_nor_key(log: Path) -> None:
    done = streams("replay", "--dry-run", "--json", "--rate", "4", str(log))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0].startswith(f"{log}:2: The event is not JSON")
    report = orjson.loads(done.stdout)
    assert report["dryRun"] is True
    assert (report["read"], report["left"], report["people"]) == (3, 2, 2)
    assert report["broken"] == {"total": 1, "not-json": 1}
    assert report["forecast"]["calls"] == {"total": 2, "track": 1, "page": 1}
    assert report["forecast"]["seconds"] == 0.5
    assert [problem["place"] for problem in report["problems"]] == [f"{log}:2"]


def test_the_report_has_what_the_help_says(log: Path) -> None:
    done = streams("replay", "--dry-run", "--json", str(log))
    promised = re.search(r"one object: \{(.*?)\}", HELP, re.DOTALL)
    assert promised is not None
    assert list(orjson.loads(done.stdout)) == re.findall(r'"(\w+)"', promised[1])


def test_a_dry_run_for_people(log: Path) -> None:
    arguments = ["replay", "--dry-run", "--rate", "4", "--since", "2026-11-03", str(log)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    for text in ("would produce 1 events", "at 4/s in 0.2 s", "at most 1 calls", "time 1"):
        assert text in done.stdout


def test_strict_is_status_1_and_names_the_line(log: Path) -> None:
    done = streams("replay", "--dry-run", "--strict", str(log))
    assert_one_line(done, 1, f"{log}:2:", "--strict")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "SOURCE"),
        (("--since", "soon", "-"), "--since"),
        (("--type", "click", "-"), "--type"),
        (("--rate", "0", "-"), "--rate"),
    ],
)
def test_a_wrong_option_is_status_2_and_named(arguments: tuple[str, ...], text: str) -> None:
    done = CliRunner().invoke(app, ["replay", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert text in done.output


def test_a_source_that_is_not_there_is_status_2(tmp_path: Path) -> None:
    assert_one_line(streams("replay", str(tmp_path / "gone")), 2, "gone: no such file")


def test_a_temporary_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    done = CliRunner().invoke(app, ["replay", "--temp-dir", gone, str(tmp_path)])
    assert isinstance(done.exception, SettingsError)
    assert f"--temp-dir {gone}" in str(done.exception)


def test_a_broker_that_is_not_there_is_status_1(log: Path) -> None:
    done = streams("replay", str(log), KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("streams: KAFKA_BOOTSTRAP_SERVERS=")


@pytest.mark.parametrize("setting", ["^seg.*", "a,b", ""])
def test_one_topic_must_be_meant(setting: str) -> None:
    with pytest.raises(SettingsError, match="--topic"):
        _one_topic(setting)
    assert _one_topic(" a ") == "a"


def options(*names: str, **given: Any) -> Options:
    fixed = {
        "chosen": Filter(),
        "rate": None,
        "max_waiting": 0,
        "strict": False,
        "force": False,
        "restart": False,
        "yes": False,
        "as_json": False,
        "checkpoint": None,
        "temp_dir": None,
    }
    return Options(names=list(names), **{**fixed, **given})  # type: ignore[arg-type]


def test_another_replay_has_another_checkpoint_and_standard_input_none(tmp_path: Path) -> None:
    settings = Settings(streams_data_dir=tmp_path)
    paths = {
        _checkpoint_path(each, settings, topic)
        for topic in ("t", "u")
        for each in (
            options("a"),
            options("a", "b"),
            options("a", force=True),
            options("a", chosen=Filter(since=1)),
            options("a", chosen=Filter(until=1)),
            options("a", chosen=Filter(people=frozenset({"x"}))),
        )
    }
    assert len(paths) == 12
    assert _checkpoint_path(options("a", rate=5.0), settings, "t") in paths
    assert _checkpoint_path(options("a", "-"), settings, "t") is None
    named = options("-", checkpoint=tmp_path / "point")
    assert _checkpoint_path(named, settings, "t") == tmp_path / "point"


@pytest.mark.parametrize(
    ("is_terminal", "yes", "answer", "wanted", "is_asked"),
    [
        (True, False, True, True, True),
        (True, False, False, False, True),
        (True, True, False, True, False),
        (False, False, False, True, False),
    ],
)
def test_it_asks_on_a_terminal_only(  # noqa: PLR0917 - pytest's
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    log: Path,
    is_terminal: bool,
    yes: bool,
    answer: bool,
    wanted: bool,
    is_asked: bool,
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    asked: list[str] = []
    monkeypatch.setattr(typer, "confirm", lambda text, err: asked.append(text) or answer)
    command = _Command(options(str(log), yes=yes), Settings(), sources.find([str(log)]))
    assert command._is_wanted() is wanted
    assert bool(asked) is is_asked
    assert ("subscribes new people" in capsys.readouterr().err) is is_asked


def test_a_terminal_has_a_bar(tmp_path: Path, log: Path) -> None:
    log.write_bytes(LINES * 5_000)
    parent, child = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMS_")}
    done = subprocess.Popen(
        [sys.executable, "-m", "streams", "replay", "--dry-run", str(log)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=child,
        env={**environment, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(child)
    shown = b""
    try:
        while more := os.read(parent, 65536):
            shown += more
    except OSError:  # what Linux says at the end
        pass
    finally:
        os.close(parent)
    assert done.wait(30) == 0
    assert b"reading" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (59.94, "59.9 s"), (60, "1 min"), (3_600 * 26 + 61, "1 d 2 h 1 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert _duration(seconds) == text


def test_what_a_line_says_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    replay._Shown().problem(replay.Problem("log\x1b[2J:1", "x", "text"))
    assert "\x1b" not in capsys.readouterr().err
