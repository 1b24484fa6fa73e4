"""From bytes to raw events, by what they are and not by what they are called."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import orjson
import pytest

from streams.gateway.answers import Refusal
from streams.gateway.parse import (
    BATCH,
    MAX_BATCH_EVENTS,
    TELEMETRY,
    inflate,
    read_batch,
    read_single,
    route,
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/identify", "identify"),
        ("/v1/group/", "group"),
        ("/v1/track//", "track"),
        ("/v1/t?x=1", "track"),
        ("/v1/i", "identify"),
        ("/v1/p/", "page"),
        ("/v1/s", "screen"),
        ("/v1/g", "group"),
        ("/v1/a", "alias"),
        ("/v1/batch", BATCH),
        ("/v1/b", BATCH),
        ("/v1/import/", BATCH),
        ("/v1/m", TELEMETRY),
        ("/v1", None),
        ("/", None),
        ("/v1/delete", None),
        ("/v1/d", None),
        ("/v2/track", None),
        ("/V1/track", None),
        ("/v1/track/x", None),
    ],
)
def test_paths(path: str, kind: str | None) -> None:
    assert route(path) == kind


BODY = b'{"userId": "u"}'


def packed(data: bytes) -> bytes:
    # Without the time: every process must name the tests alike.
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize("encoding", [None, "", "gzip", "GZIP", "x-gzip", "identity", "br"])
def test_gzip_is_told_by_its_first_bytes(encoding: str | None) -> None:
    assert inflate(packed(BODY), encoding, 100) == BODY


@pytest.mark.parametrize("encoding", [None, "", "gzip", "identity"])
def test_what_is_not_gzip_is_left_alone(encoding: str | None) -> None:
    assert inflate(BODY, encoding, 100) == BODY


def test_members_of_one_gzip_file_are_joined() -> None:
    body = packed(BODY[:7]) + packed(BODY[7:])
    assert inflate(body, "gzip", 100) == BODY
    with pytest.raises(Refusal) as caught:
        inflate(packed(b"x" * 60) * 2, "gzip", 100)
    assert caught.value.status == 413


def test_the_limit_is_of_what_is_unpacked() -> None:
    assert len(inflate(packed(b"x" * 100), None, 100)) == 100
    with pytest.raises(Refusal) as caught:
        inflate(packed(b"x" * 101), None, 100)
    assert caught.value.status == 413


def test_a_bomb_is_not_unpacked() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as caught:
            inflate(bomb, "gzip", 512_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.status == 413
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (packed(BODY)[:-9], "gzip"),
        (packed(BODY)[:5], "gzip"),
        (b"\x1f\x8b" + b"x" * 50, None),
        (BODY, "br"),
        (zlib.compress(BODY), "deflate"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(body: bytes, encoding: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        inflate(body, encoding, 100)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not-json"),
        (b"{", "not-json"),
        (b"{} {}", "not-json"),
        (b"[]", "not-an-object"),
        (b'"x"', "not-an-object"),
        (b"null", "not-an-object"),
        (b'{"\xff": 1}', "invalid-utf8"),
        (b'{"a":' + b"[" * 100_000, "too-deep"),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, code: str) -> None:
    for read in (read_single, read_batch):
        with pytest.raises(Refusal) as caught:
            read(body)
        assert (caught.value.status, caught.value.code) == (400, code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "no-batch"),
        ({"batch": {}}, 400, "no-batch"),
        ({"batch": None}, 400, "no-batch"),
        ({"batch": []}, 400, "empty-batch"),
        ({"batch": [{}] * (MAX_BATCH_EVENTS + 1)}, 413, "too-many-events"),
        ({"batch": [{}], "context": 1}, 400, "wrong-type"),
        ({"batch": [{}], "integrations": []}, 400, "wrong-type"),
    ],
)
def test_a_body_that_is_no_batch_is_refused(body: object, status: int, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_batch(orjson.dumps(body))
    assert (caught.value.status, caught.value.code) == (status, code)


def test_a_batch_may_have_as_many_events_as_documented() -> None:
    assert len(read_batch(orjson.dumps({"batch": [{}] * MAX_BATCH_EVENTS})).items) == 2500


@pytest.mark.parametrize(
    ("key", "found"), [("k", b"k"), ("", None), (None, None), (7, None), ({}, None), ("ü", "ü")]
)
def test_the_write_key_of_a_body(key: object, found: bytes | str | None) -> None:
    found = found.encode() if isinstance(found, str) else found
    assert read_single(orjson.dumps({"writeKey": key})).write_key == found
    assert read_batch(orjson.dumps({"writeKey": key, "batch": [{}]})).write_key == found
