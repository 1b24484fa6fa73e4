"""The command line: ``streams`` and ``python -m streams``."""

from __future__ import annotations

import sys

from streams.cli.main import app
from streams.errors import SettingsError, StreamsError


def main() -> None:
    """Run the command line. Exit status 0, 1 (failed) or 2 (usage or settings)."""
    try:
        app()
    except SettingsError as error:
        _fail(error, 2)
    except StreamsError as error:
        _fail(error, 1)


def _fail(error: StreamsError, status: int) -> None:
    print(f"streams: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(status)
