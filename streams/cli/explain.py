"""``streams explain``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import typer

from streams.cli.validate import load
from streams.destinations import registry
from streams.destinations.base import Destination
from streams.destinations.encharge import Encharge
from streams.errors import SettingsError
from streams.explain import Explainer

HELP = """Tell what would be sent for each event of an NDJSON file, without sending anything.

A line is a Segment event, or {"id", "event", "subscriptions"?, "op"?}. The answers are NDJSON
too, in the same order: {"id", "requests", "error", "outcome"}.

Events are mapped as they are, as in Segment's own runtime: what a worker would refuse when it
reads the topic (no ids, an unknown type, more than 32 KB) is answered here all the same.

Example: echo '{"type":"page","userId":"u-1"}' | streams explain
"""


def explain(
    file: Path | None = typer.Argument(None, help="NDJSON file; standard input if left out or -."),
    identity: bool = typer.Option(
        False, "--identity", help="Learn identities from the lines and apply them to later ones."
    ),
) -> None:
    """See ``HELP``."""
    settings, config = load(needs_key=False)
    # A dry run, so that what a conversation presumes is not remembered.
    settings = settings.with_placeholders().model_copy(update={"streams_dry_run": True})

    def configure(subscriptions: Sequence[Mapping[str, Any]] | None) -> Sequence[Destination]:
        if subscriptions is None:
            return [each.destination for each in registry.build(settings, config)]
        # As in Segment's own runtime, where a wrong one is no error before it fires.
        encharge = Encharge(
            api_key=settings.api_key,
            write_key=settings.write_key,
            api_url=settings.encharge_api_url,
            ingest_url=settings.encharge_ingest_url,
            subscriptions=subscriptions,
            parity=True,
        )
        return [encharge]

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
