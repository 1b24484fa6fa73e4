"""Every reason for which an event becomes a dead letter: what it means, and what to do.

docs/dead-letters.md has this as a table; a test compares them, and looks for the words in
the code.
"""

from __future__ import annotations

from typing import Final, NamedTuple

STAGES: Final = ("gateway", "ingest", "resolve", "deliver")
"""Where an event may become a dead letter, in the order of its way."""


class Reason(NamedTuple):
    """What a reason means, and when its letters are worth another try."""

    stage: str
    meaning: str
    remedy: str


REASONS: Final = {
    "empty": Reason(
        "ingest",
        "the record has no value, or is an envelope without an event",
        "none: the producer's mistake",
    ),
    "not-json": Reason("ingest", "the value is not JSON", "none: the producer's mistake"),
    "invalid-utf8": Reason("ingest", "the value is not UTF-8", "none: the producer's mistake"),
    "not-an-object": Reason(
        "ingest", "the value is JSON, but no object", "none: the producer's mistake"
    ),
    "too-large": Reason(
        "ingest",
        "more bytes than `STREAMS_MAX_EVENT_BYTES`",
        "raise the setting, then redrive",
    ),
    "too-deep": Reason(
        "ingest", "nested more than 100 levels deep", "none: the producer's mistake"
    ),
    "no-type": Reason("ingest", "the event has no `type`", "none: the producer's mistake"),
    "unknown-type": Reason(
        "ingest", "the `type` is none of Segment's", "none: the producer's mistake"
    ),
    "no-ids": Reason(
        "ingest", "neither a `userId` nor an `anonymousId`", "none: the producer's mistake"
    ),
    "wrong-type": Reason(
        "ingest", "a field of another type than Segment's", "none: the producer's mistake"
    ),
    "invalid-timestamp": Reason(
        "ingest", "a time that is not ISO 8601", "none: the producer's mistake"
    ),
    "unreadable-stage-record": Reason(
        "resolve",
        "a record of `<app id>-events` that this program did not write",
        "find who writes there; cannot be redriven",
    ),
    "unknown-destination": Reason(
        "resolve",
        "redriven for a destination that `STREAMS_CONFIG` does not name any more",
        "give a destination that name, then redrive",
    ),
    "no-registry": Reason(
        "ingest",
        "Avro in Confluent's wire format, and `SCHEMA_REGISTRY_URL` is not set",
        "set it, then redrive",
    ),
    "unknown-schema": Reason(
        "ingest",
        "Avro whose schema nobody knows: not the registry by its id, nor anyone by its fingerprint",
        "register the schema or put it into `STREAMS_AVRO_SCHEMAS`, then redrive",
    ),
    "unusable-schema": Reason(
        "ingest",
        "the registry's schema is no Avro schema",
        "none: the producer's mistake",
    ),
    "not-avro": Reason(
        "ingest",
        "the value does not follow the Avro schema that it names",
        "none: the producer's mistake",
    ),
    "invalid-payload": Reason(
        "deliver",
        "the event does not satisfy the action that it is mapped to",
        "mend the mapping, then redrive; else the producer's mistake",
    ),
    "rejected": Reason(
        "deliver",
        "the destination refused it for good: `dlq.status` and the text say why",
        "mend what it complains of, then redrive",
    ),
    "retries-exhausted": Reason(
        "deliver",
        "the destination, while it worked, did not take it within `STREAMS_RETRY_MAX_SECONDS`",
        "redrive when it works again",
    ),
    "internal-error": Reason(
        "any", "a mistake in this program, which the log tells", "report it; redrive with the fix"
    ),
}
