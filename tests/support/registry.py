"""Schema registries for the tests: the real Apicurio Registry, and a small one to break.

Both are reached over HTTP and speak Confluent's API ("Schema Registry API Reference"). The real
one comes from Maven like Apache Kafka (tests/support/kafka.py) and keeps its schemas in memory.
"""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx
from aiohttp import web

from streams.dev.broker import tied_to_parent
from tests.support.kafka import (
    KafkaFailedError,
    cache_base,
    fetched,
    find_java,
    free_ports,
    pinned_version,
)

POM: Final = Path(__file__).with_name("registry-pom.xml")
START_SECONDS: Final = 60.0
"""How long the real one may take until it answers. Six seconds is usual."""


def schema(*fields: Any, name: str = "Event", **more: Any) -> str:
    """The JSON of a record schema."""
    listed = [f if isinstance(f, dict) else {"name": f[0], "type": f[1]} for f in fields]
    return json.dumps({"type": "record", "name": name, "fields": listed, **more})


# -- the real one ------------------------------------------------------------------------------


@cache
def find_registry() -> Path:
    """The jar to run, from the cache or from Maven; the first call on a machine downloads 109 MB.

    Raises:
        KafkaUnavailableError: no Java 17, no Maven, or Maven could not fetch it.
    """
    find_java()
    folder = cache_base() / f"apicurio-{pinned_version(POM, 'apicurio.version')}"
    return next(fetched(POM, folder, "copy", _unzip).glob("*-runner.jar"))


def _unzip(folder: Path) -> None:
    for archive in folder.glob("*.zip"):
        with zipfile.ZipFile(archive) as inside:
            inside.extractall(folder)
        archive.unlink()


@contextmanager
def apicurio(folder: Path) -> Iterator[str]:
    """A registry of its own for the length of the block; yields its address.

    Raises:
        KafkaUnavailableError: see `find_registry`.
        KafkaFailedError: it did not start in time.
    """
    jar = find_registry()
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    options = ["-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    options += [f"-Dquarkus.http.port={port}", "-Dquarkus.http.host=127.0.0.1"]
    with tempfile.TemporaryDirectory(dir=folder) as work:
        log = Path(work) / "registry.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                tied_to_parent([find_java(), *options, "-jar", str(jar)]),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=work,
                start_new_session=True,
            )
        try:
            _wait_until_it_answers(url, process, log)
            yield url
        finally:
            process.kill()
            process.wait(timeout=10)


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False) as http:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if http.get(f"{url}/subjects").status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
    raise KafkaFailedError(f"the schema registry did not start:\n{log.read_text()[-4000:]}")


# -- one to break ------------------------------------------------------------------------------


@dataclass
class SmallRegistry:
    """What of the API is used here. Set ``status`` to have everything answered with it."""

    url: str = ""
    login: tuple[str, str] | None = None
    status: int = 200
    incompatible: bool = False
    requests: list[str] = field(default_factory=list)
    """Method and path of each request."""
    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, subject: str, text: str, **more: Any) -> int:
        """Register a schema; gives its id."""
        body = {"schema": text, **more}
        id = next((id for id, known in self.schemas.items() if known == body), None)
        if id is None:
            id = next(self._ids)
            self.schemas[id] = body
        versions = self.subjects.setdefault(subject, [])
        if id not in versions:
            versions.append(id)
        return id

    @web.middleware
    async def _watch(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if self.status != 200:
            return web.json_response(
                {"error_code": self.status, "message": "no"}, status=self.status
            )
        if self.login is not None:
            given = request.headers.get("authorization")
            token = base64.b64encode(":".join(self.login).encode()).decode()
            if given != f"Basic {token}":
                return web.json_response({"error_code": 401, "message": "who?"}, status=401)
        response: web.StreamResponse = await handler(request)
        return response

    async def _schema(self, request: web.Request) -> web.Response:
        found = self.schemas.get(int(request.match_info["id"]))
        return _not_found(40403) if found is None else web.json_response(found)

    async def _version(self, request: web.Request) -> web.Response:
        versions = self.subjects.get(request.match_info["subject"])
        if versions is None:
            return _not_found(40401)
        number = int(request.match_info["version"])
        if not 0 < number <= len(versions):
            return _not_found(40402)
        return web.json_response({"version": number, **self.schemas[versions[number - 1]]})

    async def _register(self, request: web.Request) -> web.Response:
        if self.incompatible:
            return web.json_response({"error_code": 409, "message": "other fields"}, status=409)
        body = await request.json()
        return web.json_response({"id": self.add(request.match_info["subject"], **_named(body))})

    async def _subjects(self, request: web.Request) -> web.Response:
        return web.json_response(list(self.subjects))


def _named(body: dict[str, Any]) -> dict[str, Any]:
    return {"text": body.pop("schema"), **body}


def _not_found(code: int) -> web.Response:
    return web.json_response({"error_code": code, "message": "not found"}, status=404)


@asynccontextmanager
async def small_registry(login: tuple[str, str] | None = None) -> AsyncIterator[SmallRegistry]:
    """A small registry on a free port of the loopback interface."""
    made = SmallRegistry(login=login)
    app = web.Application(middlewares=[made._watch])
    app.router.add_get("/subjects", made._subjects)
    app.router.add_get("/schemas/ids/{id}", made._schema)
    app.router.add_get("/subjects/{subject}/versions/{version}", made._version)
    app.router.add_post("/subjects/{subject}/versions", made._register)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()
