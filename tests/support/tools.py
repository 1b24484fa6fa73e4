"""Programs beside Python that the tests of deploy/ run: ``.ci/tools`` installs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
TOOLS: Final = ROOT / ".tools"

_SECONDS: Final = 120


def run(program: str, *arguments: str | Path) -> str:
    """What a program writes to standard output. Fails the test where it fails, with all it says."""
    done = subprocess.run(
        [find(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
    return done.stdout


def find(program: str) -> str:
    """Where a program is. Skips the test where it is not; under ``CI`` that is a failure."""
    found = shutil.which(program, path=f"{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return found or missing(program)


def missing(what: str) -> str:
    """Skip the test, or fail it under ``CI``."""
    reason = f"{what} is not here: .ci/tools installs it"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
