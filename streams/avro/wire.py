"""How a single Avro value says which schema it was written with.

* Confluent's wire format (docs.confluent.io, "Formats, Serializers, and Deserializers"): a zero
  byte, the schema's id in the registry as four bytes, big-endian.
* Single-object encoding (Avro specification): C3 01, the schema's fingerprint (CRC-64-AVRO of its
  parsing canonical form) as eight bytes, little-endian.

No JSON begins with either.
"""

from __future__ import annotations

from typing import Final

from streams.errors import InvalidEvent

MAGIC: Final = b"\x00"
MARKER: Final = b"\xc3\x01"

_ID_END: Final = 5
_FINGERPRINT_END: Final = 10


def is_framed(raw: bytes | None) -> bool:
    """Whether a value begins as one of the two does."""
    return raw is not None and raw.startswith((MAGIC, MARKER))


def split(raw: bytes) -> tuple[int | bytes, bytes]:
    """The id or the fingerprint of a framed value's schema, and the rest of it.

    Raises ``InvalidEvent`` when it ends too early.
    """
    end = _ID_END if raw.startswith(MAGIC) else _FINGERPRINT_END
    if len(raw) < end:
        raise InvalidEvent("not-avro", f"The value has {len(raw)} bytes: too few for Avro.")
    if end == _ID_END:
        return int.from_bytes(raw[1:end], "big"), raw[end:]
    return raw[2:end], raw[end:]


def with_id(id: int) -> bytes:
    """What a value in Confluent's wire format begins with."""
    return MAGIC + id.to_bytes(4, "big")


def with_fingerprint(fingerprint: bytes) -> bytes:
    """What a single-object encoded value begins with."""
    return MARKER + fingerprint
