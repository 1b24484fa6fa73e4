"""Everything that must hold before a change goes in: ``python -m tests.run [pytest arguments]``.

The checks first, since they take seconds, then the tests: side by side, save those marked
``serial``, which have the machine for themselves (tests/conftest.py). The arguments go to pytest
after its own, so ``-n 0 -k lanes`` does what it says. The last line is pytest's summary; the exit
status is 0 only if everything passed. Under ``CI`` a whole run in which no test has seen Apache
Kafka is a failure, whatever the reason.
"""

# ruff: noqa: T201 - a program for the terminal

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CHECK_SECONDS: Final = 300
"""How long one check may take."""

TEST_SECONDS: Final = 1_300
"""How long all the tests together may take."""

END_SECONDS: Final = 20
"""How long pytest may take to end when it is asked to."""

_PYTEST: Final = ("-n", "2", "--dist", "loadgroup")


@dataclass(frozen=True)
class Result:
    """One check: whether it passed, what it took in seconds and what it wrote."""

    name: str
    passed: bool
    seconds: float
    output: str = ""

    def line(self) -> str:
        return f"{'ok    ' if self.passed else 'FAILED'} {self.name} ({self.seconds:.1f} s)"


def main(arguments: list[str]) -> int:
    # By default a SIGTERM (a time limit of the caller's) would leave pytest running on its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = []
    for name, command in _checks():
        result = _check(name, command)
        results.append(result)
        print(result.line(), flush=True)
        if not result.passed:
            print(result.output, flush=True)
    # pytest repeats the outcome of the checks at its end (tests/conftest.py), and nothing is
    # printed after it: its summary is the last line.
    command = [sys.executable, "-m", "pytest", *_PYTEST, *arguments]
    environment = _environment(results, whole=not arguments)
    print(f"$ {shlex.join(command[1:])}", flush=True)
    with subprocess.Popen(command, cwd=ROOT, env=environment) as pytest:
        try:
            status = pytest.wait(TEST_SECONDS)
        except subprocess.TimeoutExpired:
            _end(pytest)
            print(f"FAILED pytest did not end within {TEST_SECONDS} s", flush=True)
            return 1
        except BaseException:
            _end(pytest)
            raise
    return 0 if status == 0 and all(result.passed for result in results) else 1


def _end(pytest: subprocess.Popen[bytes]) -> None:
    """End it in good order (tests/conftest.py): its workers end what they have started."""
    pytest.terminate()
    try:
        pytest.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.kill()


def _checks() -> Iterator[tuple[str, list[str]]]:
    yield "ruff format", [sys.executable, "-m", "ruff", "format", "--check", "."]
    yield "ruff check", [sys.executable, "-m", "ruff", "check", "."]
    yield "mypy", [sys.executable, "-m", "mypy"]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if (ROOT / ".importlinter").exists() or "importlinter" in settings.get("tool", {}):
        yield "import rules", [str(Path(sys.executable).with_name("lint-imports"))]


def _check(name: str, command: list[str]) -> Result:
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Result(name, False, CHECK_SECONDS, f"did not end within {CHECK_SECONDS} s")
    return Result(name, done.returncode == 0, time.monotonic() - started, done.stdout)


def _environment(results: list[Result], *, whole: bool) -> dict[str, str]:
    """What pytest gets: the outcome of the checks to repeat at its end, and Kafka made ready."""
    environment = dict(os.environ)
    environment["STREAMS_TEST_WHOLE"] = "1" if whole else ""
    environment["STREAMS_TEST_NOTE"] = "\n".join(
        result.line() for result in results if not result.passed
    ) or f"{len(results)} checks passed: " + ", ".join(result.name for result in results)
    if not os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        # Here and not in a test, whose time limit the first download may exceed.
        from tests.support.kafka import KafkaUnavailableError, find_distribution
        from tests.support.registry import find_registry

        try:
            find_distribution()
            find_registry()
        except KafkaUnavailableError as error:
            environment["STREAMS_KAFKA_UNAVAILABLE"] = str(error)
    return environment


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
