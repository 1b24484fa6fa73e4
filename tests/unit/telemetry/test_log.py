"""What the log keeps to itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, structlog
from streams.settings import LogFormat
from streams.telemetry import log
log.configure({level!r}, LogFormat({form!r}))
try:
    try:
        {{}}["person@example.com"]
    except KeyError as error:
        raise ValueError("no such plan: gold-trait") from error
except ValueError:
    structlog.get_logger("a").exception("mapping failed", origin="events[0]@7")
    logging.getLogger("b").exception("library failed")
"""


def logged(level: str, form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(level=level, form=form)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stderr


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_exception_is_told_without_the_values_in_its_text(form: str) -> None:
    text = logged("info", form)
    for told in ("mapping failed", "library failed", "events[0]@7", "ValueError", "KeyError"):
        assert told in text
    # The second is in the program's own line of code, not in a message.
    assert "no such plan: gold-trait" not in text.replace('("no such plan: gold-trait")', "")
    assert text.count("person@example.com") == text.count('["person@example.com"]')


def test_who_asks_for_debug_gets_it_all() -> None:
    assert "ValueError: no such plan: gold-trait" in logged("debug", "json")


def test_a_line_is_json() -> None:
    lines = [json.loads(line) for line in logged("info", "json").splitlines()]
    assert [line["event"] for line in lines] == ["mapping failed", "library failed"]
    assert all({"level", "logger", "timestamp", "exception"} <= set(line) for line in lines)
