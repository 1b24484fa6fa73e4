"""The forms in which logs come. A new one is one file here, and one line in a registry.

A container is told by how the file begins, an envelope by the line itself; most envelopes are
those of the topic (:mod:`streams.source.envelopes`). A line that is an event as it is needs no
envelope: Segment's S3 archive, RudderStack's object storage, plain NDJSON.
"""

from __future__ import annotations

from typing import Final

from streams.replay.formats.avro import Avro
from streams.replay.formats.base import Container
from streams.replay.formats.kcat import Kcat
from streams.replay.formats.ndjson import Ndjson
from streams.source import envelopes

CONTAINERS: Final[tuple[Container, ...]] = (
    Avro(),
    Ndjson(),  # whatever else a file begins with
)
ENVELOPES: Final[tuple[envelopes.Envelope, ...]] = (
    Kcat(),
    *envelopes.ENVELOPES,
)

__all__ = ["CONTAINERS", "ENVELOPES", "Container", "container_of"]


def container_of(start: bytes) -> Container:
    """The container of a file that begins so."""
    return next(container for container in CONTAINERS if start.startswith(container.MAGIC))
