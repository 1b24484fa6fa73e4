"""``streams explain``."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import BinaryIO

import typer

from streams import settings as settings_module
from streams.destinations.encharge import PRESETS, Encharge
from streams.errors import SettingsError
from streams.explain import Explainer

NO_KEY = "<ENCHARGE_API_KEY>"

HELP = """Tell what would be sent for each event of an NDJSON file, without sending anything.

A line is a Segment event, or {"id", "event", "subscriptions"?, "op"?}. The answers are NDJSON
too, in the same order: {"id", "requests", "error", "outcome"}.

Example: echo '{"type":"page","userId":"u-1"}' | streams explain
"""


def explain(
    file: Path | None = typer.Argument(None, help="NDJSON file; standard input if left out or -."),
    identity: bool = typer.Option(
        False, "--identity", help="Learn identities from the lines and apply them to later ones."
    ),
) -> None:
    """See ``HELP``."""
    settings = settings_module.load()
    api_key = settings.encharge_api_key
    write_key = settings.encharge_write_key

    def configure(subscriptions: object) -> Encharge:
        return Encharge(
            api_key=api_key.get_secret_value() if api_key else NO_KEY,
            write_key=write_key.get_secret_value() if write_key else None,
            api_url=settings.encharge_api_url,
            ingest_url=settings.encharge_ingest_url,
            subscriptions=PRESETS if subscriptions is None else subscriptions,  # type: ignore[arg-type]
        )

    with _opened(file) as lines:
        try:
            sys.stdout.buffer.writelines(Explainer(configure, learns=identity).lines(lines))
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # Whoever read has seen enough, as with `| head`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _opened(file: Path | None) -> contextlib.AbstractContextManager[BinaryIO]:
    if file is None or str(file) == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        return file.open("rb")
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
