"""The command line: ``streams`` and ``python -m streams``."""

from __future__ import annotations

import sys

from streams.cli.main import app
from streams.config import Problem
from streams.errors import SettingsError, StreamsError


def main() -> None:
    """Run the command line. Exit status 0, 1 (failed) or 2 (usage or settings).

    Everything that is wrong has a line of its own; one about a file begins with its place.
    """
    try:
        app()
    except SettingsError as error:
        _fail(error, 2)
    except StreamsError as error:
        _fail(error, 1)


def _fail(error: StreamsError, status: int) -> None:
    for fault in error.args if isinstance(error, SettingsError) else (error,):
        text = " ".join(str(fault).split())
        print(text if isinstance(fault, Problem) else f"streams: {text}", file=sys.stderr)
    sys.exit(status)
