"""How a value says which schema it was written with."""

from __future__ import annotations

import pytest

from streams.avro import wire
from streams.avro.schemas import fingerprint
from streams.errors import InvalidEvent


def test_confluent_s_format_has_the_id_behind_a_zero() -> None:
    assert wire.with_id(258) == b"\x00\x00\x00\x01\x02"
    assert wire.split(b"\x00\x00\x00\x01\x02rest") == (258, b"rest")


def test_a_single_object_has_the_fingerprint_in_little_endian() -> None:
    # The header that Apache Avro's own tests give for "int" (lang/ruby/test/test_fingerprints.rb).
    header = bytes.fromhex("c301 8f5c393f1ad57572")
    assert wire.with_fingerprint(fingerprint("int")) == header
    assert wire.split(header + b"rest") == (header[2:], b"rest")


@pytest.mark.parametrize("raw", [b"\x00", b"\x00\x01\x02\x03", b"\xc3\x01", b"\xc3\x01" + b"x" * 7])
def test_what_ends_within_its_frame_is_no_avro(raw: bytes) -> None:
    assert wire.is_framed(raw)
    with pytest.raises(InvalidEvent) as caught:
        wire.split(raw)
    assert caught.value.reason == "not-avro"


@pytest.mark.parametrize(
    "raw", [None, b"", b"{}", b" {}", b"\xef\xbb\xbf{}", b'"\xc3\x01"', b"\xc3"]
)
def test_other_values_have_no_frame(raw: bytes | None) -> None:
    assert not wire.is_framed(raw)
