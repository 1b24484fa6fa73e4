"""The client of a schema registry, over real HTTP: a small one to break, and a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from streams.avro import registry as module
from streams.avro.reader import Written
from streams.avro.registry import Registry, connected
from streams.avro.schemas import RESOLVED_EVENT, text_of
from streams.errors import RegistryError, SettingsError
from streams.settings import Settings
from tests.support.fakes import eventually
from tests.support.registry import SmallRegistry, schema, small_registry

PAGE = schema(("type", "string"), ("userId", "string"))


def settings(url: str, **more: Any) -> Settings:
    return Settings(schema_registry_url=url, **more)


@pytest.fixture
async def small() -> AsyncIterator[SmallRegistry]:
    async with small_registry() as made:
        yield made


@pytest.fixture(params=["small", pytest.param("registry", marks=pytest.mark.kafka)])
def address(request: pytest.FixtureRequest) -> str:
    """The test runs once on the small registry and once on a real one."""
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, str) else found.url


@pytest.fixture
async def client(address: str) -> AsyncIterator[Registry]:
    async with connected(settings(address)) as made:
        assert made is not None
        yield made


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "delay", lambda attempt, headers: 0.01)


# -- what holds for every registry


async def test_a_registered_schema_is_found_by_its_id(client: Registry, unique: str) -> None:
    id = await client.register(f"{unique}-value", PAGE)
    assert await client.register(f"{unique}-value", PAGE) == id, "registering again changes nothing"
    found = await client.schema(id)
    assert found is not None
    assert (found.kind, orjson.loads(found.text)) == ("AVRO", orjson.loads(PAGE))


async def test_an_id_that_nobody_has_is_none(client: Registry) -> None:
    assert await client.schema(999_999) is None
    assert await client.schema(2**31) is None
    assert await client.schema(2**32 - 1) is None


async def test_a_registry_answers_the_check(client: Registry, unique: str) -> None:
    await client.check()
    await client.register(f"{unique}-value", text_of(RESOLVED_EVENT))
    await client.check()


# -- what only a small one can be made to do


async def test_references_come_along_each_behind_its_own(small: SmallRegistry) -> None:
    a, b = schema(name="A"), schema(("a", "A"), name="B")
    small.add("a", a)
    small.add("b", b, references=[{"name": "A", "subject": "a", "version": 1}])
    both = [{"name": n.upper(), "subject": n, "version": 1} for n in ("a", "b")]
    id = small.add("c", schema(("a", "A"), ("b", "B")), references=both)
    async with connected(settings(small.url)) as client:
        assert client is not None
        assert await client.schema(id) == Written("AVRO", schema(("a", "A"), ("b", "B")), (a, b))


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
async def test_a_registry_that_does_not_answer_as_one_is_waited_for(
    small: SmallRegistry, status: int
) -> None:
    # A 404 without the error code of a missing schema comes from something else at that address.
    id = small.add("t-value", PAGE)
    small.status = status
    async with connected(settings(small.url)) as client:
        assert client is not None
        waiting = asyncio.ensure_future(client.schema(id))
        await eventually(lambda: len(small.requests) >= 3)
        assert not waiting.done()
        small.status = 200
        found = await waiting
    assert found is not None
    assert found.text == PAGE


@pytest.mark.usefixtures("soon")
async def test_a_registry_that_is_away_is_waited_for_and_told_of(
    small: SmallRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    async with connected(settings("http://user:secret@127.0.0.1:1")) as client:
        assert client is not None
        waiting = asyncio.ensure_future(client.schema(1))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        waiting.cancel()
    said = capsys.readouterr()
    assert "SCHEMA_REGISTRY_URL" in said.out + said.err
    assert "secret" not in said.out + said.err


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("http://us%40er:p%3Ass@{}", {}),
        ("http://{}", {"schema_registry_username": "us@er", "schema_registry_password": "p:ss"}),
        ("http://us%40er@{}", {"schema_registry_password": "p:ss"}),
    ],
)
async def test_the_login_may_be_in_the_url_or_in_settings(url: str, more: dict[str, str]) -> None:
    async with small_registry(login=("us@er", "p:ss")) as small:
        address = small.url.removeprefix("http://")
        async with connected(settings(url.format(address), **more)) as client:
            assert client is not None
            await client.check()
        async with connected(settings(small.url)) as stranger:
            assert stranger is not None
            with pytest.raises(RegistryError, match="SCHEMA_REGISTRY_PASSWORD"):
                await stranger.check()


async def test_an_address_may_have_a_path(small: SmallRegistry) -> None:
    async with connected(settings(f"{small.url}/apis/ccompat/v7/")) as client:
        assert client is not None
        with pytest.raises(RegistryError, match=r"SCHEMA_REGISTRY_URL: .*/v7/subjects: status 404"):
            await client.check()
    assert small.requests == ["GET /apis/ccompat/v7/subjects"]


async def test_a_schema_that_a_subject_does_not_take_is_a_matter_of_settings(
    small: SmallRegistry,
) -> None:
    small.incompatible = True
    async with connected(settings(small.url)) as client:
        assert client is not None
        with pytest.raises(SettingsError, match=r"STREAMS_PUBLISH_FORMAT.*t-value.*other fields"):
            await client.register("t-value", PAGE)


async def test_registering_does_not_wait_for_a_registry_that_is_away(small: SmallRegistry) -> None:
    small.status = 503
    async with connected(settings(small.url)) as client:
        assert client is not None
        with pytest.raises(RegistryError, match=r"SCHEMA_REGISTRY_URL.*503"):
            await client.register("t-value", PAGE)
        with pytest.raises(RegistryError, match=r"SCHEMA_REGISTRY_URL.*503"):
            await client.check()


async def test_a_schema_may_be_larger_than_what_is_read_of_other_answers(
    small: SmallRegistry,
) -> None:
    large = schema(*((f"field{n}", "string") for n in range(5000)))
    assert len(large) > 200_000
    async with connected(settings(small.url)) as client:
        assert client is not None
        found = await client.schema(await client.register("t-value", large))
    assert found is not None
    assert found.text == large


async def test_there_may_be_none() -> None:
    async with connected(Settings(schema_registry_url=None)) as client:
        assert client is None
