"""Avro values and their schemas, wherever these are from."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest

from streams.avro import codec, wire
from streams.avro.reader import AvroReader, Written
from streams.avro.schemas import SEGMENT_EVENT, fingerprint, known, parse, text_of
from streams.errors import InvalidEvent, SettingsError
from tests.support.registry import schema

PAGE = schema(("type", "string"), ("userId", "string"))
RECORD = {"type": "page", "userId": "u"}
JAVA = (
    "c30169531c0da9b131330a747261636b02066d2d310280e0adb4b3680206752d3100000002085061696400000000"
    "000000021e7b22726576656e7565223a392e357d000000"
)


def value(text: str, record: Any, prefix: bytes) -> bytes:
    stream = BytesIO(prefix)
    stream.seek(0, 2)
    fastavro.schemaless_writer(stream, parse(text), record)
    return stream.getvalue()


class FakeRegistry:
    """A registry that counts, and may be held back."""

    def __init__(self, **schemas: Written) -> None:
        self.schemas = {int(id[1:]): written for id, written in schemas.items()}
        self.asked: list[int] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def schema(self, id: int) -> Written | None:
        self.asked.append(id)
        await self.answers.wait()
        return self.schemas.get(id)


async def read(reader: AvroReader, raw: bytes) -> Any:
    await reader.fetch(reader.missing([raw]))
    return orjson.loads(reader.read(raw))


async def refused(reader: AvroReader, raw: bytes) -> tuple[str, str]:
    with pytest.raises(InvalidEvent) as caught:
        await read(reader, raw)
    return caught.value.reason, str(caught.value)


async def test_a_schema_is_asked_for_once_for_ever() -> None:
    registry = FakeRegistry(s7=Written("AVRO", PAGE))
    reader = AvroReader([], registry)
    raw = value(PAGE, RECORD, wire.with_id(7))
    for _ in range(3):
        assert await read(reader, raw) == RECORD
    assert registry.asked == [7]


async def test_several_may_wait_for_one_answer() -> None:
    registry = FakeRegistry(s7=Written("AVRO", PAGE))
    registry.answers.clear()
    reader = AvroReader([], registry)
    waiting = [asyncio.ensure_future(reader.fetch({7})) for _ in range(3)]
    await asyncio.sleep(0)
    registry.answers.set()
    await asyncio.gather(*waiting)
    assert registry.asked == [7]
    assert reader.missing([wire.with_id(7)]) == set()


async def test_an_unknown_id_is_asked_for_again_the_next_time() -> None:
    registry = FakeRegistry()
    reader = AvroReader([], registry)
    raw = value(PAGE, RECORD, wire.with_id(7))
    assert (await refused(reader, raw))[0] == "unknown-schema"
    registry.schemas[7] = Written("AVRO", PAGE)
    assert await read(reader, raw) == RECORD


async def test_without_a_registry_the_setting_is_named() -> None:
    raw = value(PAGE, RECORD, wire.with_id(7))
    reason, text = await refused(AvroReader([]), raw)
    assert reason == "no-registry"
    assert "SCHEMA_REGISTRY_URL" in text
    assert "7" in text


async def test_only_what_names_an_id_has_to_be_fetched() -> None:
    reader = AvroReader([], FakeRegistry())
    values = [None, b"", b"{}", b"\x00", b"\xc3\x01" + b"x" * 8, wire.with_id(3), wire.with_id(3)]
    assert reader.missing(values) == {3}


async def test_a_schema_may_refer_to_others() -> None:
    user = schema(("id", "string"), name="User", namespace="shop")
    order = schema(("by", "shop.User"), name="Order", namespace="shop")
    outer = schema(("first", "shop.User"), ("order", "shop.Order"))
    registry = FakeRegistry(s1=Written("AVRO", outer, (user, order)))
    parsed: dict[str, Any] = {}
    parse(user, parsed)
    parse(order, parsed)
    stream = BytesIO()
    record = {"first": {"id": "a"}, "order": {"by": {"id": "b"}}}
    fastavro.schemaless_writer(stream, parse(outer, parsed), record)
    assert await read(AvroReader([], registry), wire.with_id(1) + stream.getvalue()) == record


async def test_a_json_schema_has_json_behind_the_frame() -> None:
    reader = AvroReader([], FakeRegistry(s2=Written("JSON", "{}")))
    assert await read(reader, wire.with_id(2) + orjson.dumps(RECORD)) == RECORD


@pytest.mark.parametrize(
    "written",
    [
        Written("PROTOBUF", 'syntax = "proto3";'),
        Written("AVRO", "{"),
        Written("AVRO", '{"type": "record"}'),
        Written("AVRO", schema(("x", "Nowhere"))),
        Written("AVRO", PAGE, ("{}",)),
    ],
    ids=str,
)
async def test_what_is_no_avro_schema_is_told_and_asked_for_once(written: Written) -> None:
    registry = FakeRegistry(s5=written)
    reader = AvroReader([], registry)
    for _ in range(2):
        reason, text = await refused(reader, wire.with_id(5) + b"x")
        assert reason == "unusable-schema"
        assert "Schema 5 " in text
    assert registry.asked == [5]


@pytest.mark.parametrize(
    "payload", [b"", b"\x08pag", b"\x80" * 12, b"\x00\x00\x00", b"\x02\xff\x00"]
)
async def test_what_does_not_follow_its_schema_is_no_avro(payload: bytes) -> None:
    reader = AvroReader([], FakeRegistry(s7=Written("AVRO", PAGE)))
    assert (await refused(reader, wire.with_id(7) + payload))[0] == "not-avro"


async def test_our_own_schemas_are_known_by_their_fingerprint() -> None:
    # Written by Apache Avro for Java 1.12 (BinaryMessageEncoder) with schemas/segment-event.
    raw = bytes.fromhex(JAVA)
    assert await read(AvroReader(known(None)), raw) == {
        "type": "track",
        "messageId": "m-1",
        "userId": "u-1",
        "event": "Paid",
        "timestamp": "2026-11-02T08:00:00.000Z",
        "properties": {"revenue": 9.5},
    }
    parsed = parse(text_of(SEGMENT_EVENT))
    encode = codec.encoder(parsed, wire.with_fingerprint(fingerprint(parsed)))
    assert encode(await read(AvroReader(known(None)), raw)) == raw


async def test_a_folder_has_more_schemas(tmp_path: Path) -> None:
    raw = value(PAGE, RECORD, wire.with_fingerprint(fingerprint(parse(PAGE))))
    reason, text = await refused(AvroReader(known(None)), raw)
    assert reason == "unknown-schema"
    assert "STREAMS_AVRO_SCHEMAS" in text
    (tmp_path / "page.avsc").write_text(PAGE)
    (tmp_path / "README").write_text("not a schema")
    assert await read(AvroReader(known(tmp_path)), raw) == RECORD


@pytest.mark.parametrize("content", [None, "{", '{"type": "nothing"}'])
def test_a_folder_without_schemas_is_a_wrong_setting(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "broken.avsc").write_text(content)
    with pytest.raises(SettingsError, match=r"STREAMS_AVRO_SCHEMAS.*"):
        known(tmp_path)
    with pytest.raises(SettingsError, match=r"STREAMS_AVRO_SCHEMAS.*nowhere"):
        known(tmp_path / "nowhere")
