"""The gateway over HTTP, as its clients meet it. Kafka is a fake here."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from streams.engine.producer import Record
from streams.gateway import server
from streams.gateway.partition import partition_of
from streams.gateway.server import MAX_BATCH_BYTES
from tests.support.fakes import FakeProducer, eventually
from tests.support.gateway import KEY, PARTITIONS, Served, served

TYPES = ("identify", "track", "page", "screen", "group", "alias")
REQUESTS = Path(__file__).with_name("requests")
CAPTURES = {path.stem: orjson.loads(path.read_bytes()) for path in REQUESTS.glob("*.json")}


def packed(data: bytes) -> bytes:
    # Without the time: every process must name the tests alike.
    return gzip.compress(data, mtime=0)


@pytest.fixture
async def gateway() -> AsyncIterator[Served]:
    async with served() as made:
        yield made


def assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == code
    assert isinstance(answer.json()["message"], str)
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["access-control-allow-origin"] == "*"


# -- what is stored


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("path", ["/v1/{}", "/v1/{}/", "/v1/{0[0]}"])
async def test_a_single_call(gateway: Served, kind: str, path: str) -> None:
    answer = await gateway.post(path.format(kind), {"userId": "u", "x": 1})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    (event,) = gateway.events()
    assert (event["type"], event["userId"], event["projectId"]) == (kind, "u", "web")
    (record,) = gateway.records("events")
    assert (record.key, record.headers) == (b"u", [("source.name", b"web")])


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/batch/", "/v1/b", "/v1/import"])
async def test_a_batch(gateway: Served, path: str) -> None:
    events = [{"type": kind, "userId": "u", "messageId": kind} for kind in TYPES]
    answer = await gateway.post(path, {"batch": events})
    assert (answer.status_code, answer.json()) == (200, {"success": True, "count": 6})
    assert [event["messageId"] for event in gateway.events()] == list(TYPES)


async def test_a_person_s_events_are_in_one_partition_in_order(gateway: Served) -> None:
    people = [f"person-{n}" for n in range(20)]
    events = [
        {"type": "track", "anonymousId": person, "messageId": f"{person} {n}"}
        for n in range(5)
        for person in people
    ]
    await gateway.post("/v1/batch", {"batch": events[:60]})
    await gateway.post("/v1/batch", {"batch": events[60:]})
    for partition, records in gateway.producer.to("events").items():
        for person in people:
            own = [r for r in records if r.key == person.encode()]
            assert not own or partition == partition_of(person.encode(), PARTITIONS)
            found = [orjson.loads(record.value)["messageId"] for record in own]
            assert found in ([], [f"{person} {n}" for n in range(5)])
    assert len(gateway.events()) == 100


async def test_the_answer_waits_for_the_confirmation() -> None:
    async with served(producer=FakeProducer(confirms=False)) as gateway:
        posting = asyncio.ensure_future(gateway.post("/v1/page", {"userId": "u"}))
        await eventually(lambda: gateway.producer.sent)
        await asyncio.sleep(0.05)
        assert not posting.done()
        gateway.producer.confirm()
        assert (await posting).status_code == 200


@pytest.mark.parametrize("client", sorted(CAPTURES))
@pytest.mark.parametrize("zipped", [False, True])
async def test_what_real_clients_send_is_taken(gateway: Served, client: str, zipped: bool) -> None:
    sent: list[dict[str, Any]] = []
    for request in CAPTURES[client]["requests"]:
        body, headers = request["body"], dict(request["headers"])
        raw = orjson.dumps(body)
        if zipped or headers.pop("Content-Encoding", None):
            raw, headers["Content-Encoding"] = packed(raw), "gzip"
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(gateway.url + request["path"], content=raw, headers=headers)
        assert answer.status_code == 200, answer.text
        told = {"success": True, **({"count": len(body["batch"])} if "batch" in body else {})}
        assert answer.json() == told
        sent += body.get("batch", [body])
    stored = gateway.events()
    assert len(stored) == len(sent)
    by_id = {event["messageId"]: event for event in stored}
    changed = {"writeKey", "timestamp", "sentAt", "originalTimestamp"}
    for event in sent:
        found = by_id[event["messageId"]]
        assert {k: v for k, v in event.items() if k not in changed} == {
            k: found[k] for k in event if k not in changed
        }
        assert "writeKey" not in found
        # The captures were sent at once: only the clock's difference is cancelled.
        assert found["originalTimestamp"] == event.get("timestamp", event.get("originalTimestamp"))
        assert found["timestamp"] != found["originalTimestamp"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense", "image/png"]
)
async def test_the_content_type_does_not_matter(gateway: Served, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    assert (await gateway.post("/v1/page", {"userId": "u"}, headers=headers)).status_code == 200
    body = packed(b'{"userId": "u"}')
    assert (await gateway.post("/v1/page", body, headers=headers)).status_code == 200
    assert len(gateway.events()) == 2


async def test_a_body_without_a_length(gateway: Served) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"userId": '
        yield b'"u"}'

    answer = await gateway.http.post("/v1/page", content=parts())
    assert answer.status_code == 200
    assert gateway.events()[0]["userId"] == "u"


async def test_telemetry_is_swallowed_without_a_key(gateway: Served) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{gateway.url}/v1/m", content=b'{"series": []}')
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert gateway.producer.sent == []


# -- who may


async def ask(gateway: Served, body: Any, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.post(f"{gateway.url}/v1/page", json=body, **options)


async def test_the_key_may_be_in_the_head_or_in_the_body(gateway: Served) -> None:
    event = {"userId": "u"}
    assert (await ask(gateway, event, auth=(KEY, ""))).status_code == 200
    assert (await ask(gateway, {**event, "writeKey": KEY})).status_code == 200
    bearer = {"Authorization": "Bearer token"}
    assert (await ask(gateway, {**event, "writeKey": KEY}, headers=bearer)).status_code == 200
    assert len(gateway.events()) == 3


async def test_without_a_known_key_nothing_is_stored(gateway: Served) -> None:
    event = {"userId": "u"}
    assert_refused(await ask(gateway, event), 401, "no-write-key")
    assert_refused(await ask(gateway, event, auth=("x", "")), 401, "unknown-write-key")
    assert_refused(await ask(gateway, {**event, "writeKey": "x"}), 401, "unknown-write-key")
    wrong = {**event, "writeKey": KEY}
    assert_refused(await ask(gateway, wrong, auth=("x", "")), 401, "unknown-write-key")
    assert gateway.producer.sent == []


async def test_without_keys_all_are_refused_and_open_lets_all_in() -> None:
    async with served(keys=None) as gateway:
        assert_refused(await gateway.post("/v1/page", {"userId": "u"}), 401, "no-write-keys")
    async with served(keys=None, is_open=True) as gateway:
        assert (await ask(gateway, {"userId": "u"})).status_code == 200
        assert (await ask(gateway, {"userId": "u"}, auth=("any", ""))).status_code == 200
        assert [event["projectId"] for event in gateway.events()] == ["open", "open"]


# -- what is refused


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/page", b"", 400, "not-json"),
        ("/v1/page", b"x=1", 400, "not-json"),
        ("/v1/page", [], 400, "not-an-object"),
        ("/v1/page", {}, 400, "no-ids"),
        ("/v1/page", {"userId": None, "anonymousId": ""}, 400, "no-ids"),
        ("/v1/page", {"userId": {}}, 400, "wrong-type"),
        ("/v1/page", {"userId": "u", "timestamp": "x"}, 400, "invalid-timestamp"),
        ("/v1/page", {"userId": "u", "x": "y" * 33_000}, 413, "too-large"),
        ("/v1/page", b"\x1f\x8bx", 400, "not-gzip"),
        ("/v1/page", packed(b" " * MAX_BATCH_BYTES + b"{}"), 413, "too-large"),
        ("/v1/batch", {"userId": "u"}, 400, "no-batch"),
        ("/v1/batch", {"batch": []}, 400, "empty-batch"),
        ("/v1/batch", {"batch": [{"type": "page"}] * 2}, 400, "no-ids"),
        ("/v1/batch", {"batch": [{"userId": "u"}]}, 400, "no-type"),
        ("/v1/batch", {"batch": [{"type": "delete", "userId": "u"}]}, 400, "unknown-type"),
        ("/v1/batch", {"batch": [{}] * 2501}, 413, "too-many-events"),
        ("/v1/batch", b" " * (MAX_BATCH_BYTES + 1), 413, "too-large"),
        ("/v1/nothing", {}, 404, "not-found"),
        ("/", {}, 404, "not-found"),
    ],
)
async def test_refusals(gateway: Served, path: str, body: Any, status: int, code: str) -> None:
    assert_refused(await gateway.post(path, body), status, code)
    assert gateway.producer.sent == []
    assert (gateway.room.requests, gateway.room.events, gateway.room.bytes) == (0, 0, 0)


async def test_only_post_is_taken(gateway: Served) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await gateway.http.request(method, "/v1/track")
        assert_refused(answer, 405, "method-not-allowed")


async def test_a_body_without_a_length_that_does_not_end_is_refused(gateway: Served) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    assert_refused(await gateway.http.post("/v1/page", content=parts()), 413, "too-large")


async def test_a_body_that_does_not_come_is_not_waited_for(
    gateway: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_SECONDS", 0.05)

    async def parts() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(0.3)

    assert_refused(await gateway.http.post("/v1/page", content=parts()), 408, "too-slow")


async def test_the_documented_sizes_are_taken(gateway: Served) -> None:
    event = {"userId": "u", "messageId": "m", "type": "page", "x": ""}
    event["x"] = "y" * (32 * 1024 - len(orjson.dumps(event)))
    assert (await gateway.post("/v1/page", event)).status_code == 200
    event["x"] += "y"
    assert_refused(await gateway.post("/v1/page", event), 413, "too-large")
    body = orjson.dumps({"batch": [{"type": "page", "userId": "u"}] * 2500})
    assert (await gateway.post("/v1/batch", body)).json()["count"] == 2500
    full = body + b" " * (MAX_BATCH_BYTES - len(body))
    assert (await gateway.post("/v1/batch", full)).json()["count"] == 2500


async def test_what_is_not_valid_in_a_batch_becomes_a_dead_letter(gateway: Served) -> None:
    events = [
        {"type": "page", "userId": "u", "messageId": "a"},
        {"type": "page"},
        7,
        {"type": "page", "userId": "u", "messageId": "b", "x": "y" * 40_000},
        {"type": "page", "userId": "u", "messageId": "c"},
    ]
    answer = await gateway.post("/v1/batch", {"batch": events})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["success"], told["count"]) == (True, 2)
    assert [(r["index"], r["code"]) for r in told["rejected"]] == [
        (1, "no-ids"),
        (2, "not-an-object"),
        (3, "too-large"),
    ]
    assert [event["messageId"] for event in gateway.events()] == ["a", "c"]
    letters = {letter.value: dict(letter.headers) for letter in gateway.records("letters")}
    assert set(letters) == {orjson.dumps(events[n]) for n in (1, 2, 3)}
    found = letters[b'{"type":"page"}']
    assert found["dlq.stage"] == b"gateway"
    assert found["dlq.reason"] == b"no-ids"
    assert found["dlq.source"] == b"web"
    assert found["dlq.topic"] == b"events"


async def test_of_a_batch_with_nothing_valid_the_first_fault_is_told_with_its_place(
    gateway: Served,
) -> None:
    events = [{"type": "page"}, {"userId": "u"}, {"type": "page", "userId": {}}]
    answer = await gateway.post("/v1/batch", {"batch": events})
    assert_refused(answer, 400, "no-ids")
    assert answer.json()["message"].startswith(
        "None of the batch is valid, 3 in all. batch[0]: The event has neither"
    )
    text = (await gateway.http.get("/metrics")).text
    for reason in ("no-ids", "no-type", "wrong-type"):
        assert f'rejected_total{{reason="{reason}",source="web"}} 1.0' in text
    assert gateway.producer.sent == []


# -- too much, and Kafka away


async def test_what_there_is_no_room_for_is_shed_and_the_rest_is_stored() -> None:
    producer = FakeProducer(partitions=PARTITIONS, confirms=False)
    async with served(producer=producer, max_events=38) as gateway:
        bodies = [
            {"batch": [{"type": "page", "userId": "u", "messageId": f"{n} {i}"} for i in range(4)]}
            for n in range(6)
        ]
        posting = [asyncio.ensure_future(gateway.post("/v1/batch", body)) for body in bodies]
        await eventually(lambda: sum(task.done() for task in posting) == 4)
        assert gateway.room.events <= 18
        producer.confirms = True
        producer.confirm()
        answers = await asyncio.gather(*posting)
        for answer in answers:
            if answer.status_code != 200:
                assert_refused(answer, 429, "overloaded")
                assert answer.headers["retry-after"] == "1"
                assert answer.headers["x-ratelimit-reset"] == "1"
        stored = {event["messageId"] for event in gateway.events()}
        assert stored == {
            event["messageId"]
            for answer, body in zip(answers, bodies, strict=True)
            if answer.status_code == 200
            for event in body["batch"]
        }
        assert gateway.room.events == 0


async def test_what_comes_announces_its_bytes() -> None:
    producer = FakeProducer(partitions=PARTITIONS, confirms=False)
    async with served(producer=producer, max_bytes=1000) as gateway:
        first = asyncio.ensure_future(gateway.post("/v1/page", {"userId": "u", "x": "y" * 700}))
        await eventually(lambda: producer.sent)
        second = await gateway.post("/v1/page", {"userId": "u", "x": "y" * 400})
        assert_refused(second, 429, "overloaded")
        body = packed(orjson.dumps({"userId": "u", "x": "y" * 400}))
        assert_refused(await gateway.post("/v1/page", body), 429, "overloaded")
        producer.confirm()
        assert (await first).status_code == 200


async def test_a_source_has_a_rate() -> None:
    async with served(per_second=5) as gateway:
        body = {"batch": [{"type": "page", "userId": "u"}] * 50}
        assert (await gateway.post("/v1/batch", body)).status_code == 200
        answer = await gateway.post("/v1/page", {"userId": "u"})
        assert_refused(answer, 429, "rate-limited")
        assert 8 <= int(answer.headers["retry-after"]) <= 10
        assert len(gateway.events()) == 50


async def test_while_kafka_does_not_confirm_it_is_503_and_nothing_is_doubled() -> None:
    producer = FakeProducer(partitions=PARTITIONS, confirms=False)
    async with served(producer=producer, confirm_seconds=0.1) as gateway:
        event = {"userId": "u", "messageId": "m"}
        for _ in range(3):
            answer = await gateway.post("/v1/page", event)
            assert_refused(answer, 503, "unavailable")
            assert answer.headers["retry-after"] == "2"
        ready = await gateway.http.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert (await gateway.http.get("/healthz")).status_code == 200
        producer.confirms = True
        producer.confirm()
        assert (await gateway.post("/v1/page", event)).status_code == 200
        assert len(gateway.events()) == 1
        assert (await gateway.http.get("/readyz")).status_code == 200


async def test_a_dead_letter_is_counted_once_it_is_confirmed() -> None:
    producer = FakeProducer(partitions=PARTITIONS, confirms=False)
    async with served(producer=producer, confirm_seconds=0.1) as gateway:
        body = {"batch": [{"type": "page", "userId": "u", "messageId": "m"}, {}]}
        assert_refused(await gateway.post("/v1/batch", body), 503, "unavailable")
        assert "rejected_total{" not in (await gateway.http.get("/metrics")).text
        producer.confirms = True
        producer.confirm()
        assert (await gateway.post("/v1/batch", body)).status_code == 200
        text = (await gateway.http.get("/metrics")).text
        assert 'rejected_total{reason="no-type",source="web"} 1.0' in text
        assert len(gateway.records("letters")) == 1


async def test_a_failure_of_the_gateway_is_told_as_one(
    gateway: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> None:
        raise RuntimeError("x")

    monkeypatch.setattr(server.Gateway, "_accept", fails)
    assert_refused(await gateway.post("/v1/page", {"userId": "u"}), 500, "internal-error")
    assert gateway.room.requests == 0


# -- browsers, and who watches


async def test_a_browser_may_ask_first(gateway: Served) -> None:
    headers = {
        "Origin": "https://example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-retry-count",
    }
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.options(f"{gateway.url}/v1/t", headers=headers)
        bare = await http.options(f"{gateway.url}/v1/t")
    assert answer.status_code == bare.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    for allowed in (answer, bare):
        names = allowed.headers["access-control-allow-headers"].replace(" ", "").split(",")
        assert {"authorization", "content-type", "x-retry-count"} <= set(names)


async def test_what_a_page_may_read_of_an_answer(gateway: Served) -> None:
    answer = await gateway.post("/v1/page", {"userId": "u"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Retry-After" in answer.headers["access-control-expose-headers"]


async def test_metrics(gateway: Served) -> None:
    await gateway.post("/v1/track", {"userId": "u"})
    await gateway.post("/v1/batch", {"batch": [{"type": "page", "userId": "u"}, {}]})
    await gateway.post("/v1/track", {})
    text = (await gateway.http.get("/metrics")).text
    for line in (
        'streams_gateway_events_total{source="web",type="track"} 1.0',
        'streams_gateway_events_total{source="web",type="page"} 1.0',
        'streams_gateway_requests_total{kind="track",status="200"} 1.0',
        'streams_gateway_requests_total{kind="track",status="400"} 1.0',
        'streams_gateway_events_rejected_total{reason="no-type",source="web"} 1.0',
        'streams_gateway_refusals_total{code="no-ids"} 1.0',
        "streams_gateway_request_seconds_count 2.0",
        'streams_gateway_in_flight{what="requests"} 0.0',
    ):
        assert line in text
    assert KEY not in text


def test_a_record_of_the_gateway_is_recognised_by_ingest() -> None:
    from types import SimpleNamespace

    from streams.source.ingest import _source

    record = Record(b"k", b"v", [("source.name", b"web")])
    assert _source(SimpleNamespace(headers=record.headers)) == "web"
    assert _source(SimpleNamespace(headers=(("other", None),))) == ""
