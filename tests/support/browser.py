"""@segment/analytics-next on a page, in headless Chromium.

The page comes from a port of its own, so that to the browser the gateway is another origin. It
drives itself (node/page.js) and tells this process what it did: nothing reaches into the browser.
"""

from __future__ import annotations

import asyncio
import html
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from streams.dev.broker import tied_to_parent
from tests.support.clients import NODE, node_is_missing, node_libraries

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # It cannot have one as root, as in containers; what it loads is ours.
    "--no-sandbox",
    # Whatever a library may look for elsewhere is not there.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
LIBRARY = Path("node_modules/@segment/analytics-next/dist/umd")


def browser_is_missing() -> str:
    """Why no page can be opened here; empty if one can."""
    return chromium_is_missing() or node_is_missing()


def chromium_is_missing() -> str:
    """Why there is no browser here; empty if there is one."""
    return "" if any(map(shutil.which, NAMES)) else "there is no Chromium here"


class Page:
    """A page that is open, and what it told."""

    def __init__(self) -> None:
        self.calls: asyncio.Future[list[dict[str, Any]]] = (
            asyncio.get_running_loop().create_future()
        )
        """The events as the library made them, once it has tried to send each."""
        self.failures: list[str] = []
        """What the library gave up, and errors of the page."""

    async def on_calls(self, request: web.Request) -> web.Response:
        self.calls.set_result(await request.json())
        return web.Response()

    async def on_failure(self, request: web.Request) -> web.Response:
        self.failures.append(await request.json())
        return web.Response()

    async def ids(self) -> list[str]:
        """The messageIds of the calls, when all were made."""
        return [event["messageId"] for event in await asyncio.wait_for(self.calls, 90)]


@asynccontextmanager
async def page(
    gateway: str,
    key: str,
    directory: Path,
    scenario: str,
    *,
    strategy: str = "standard",
    count: int = 0,
) -> AsyncIterator[Page]:
    """A page that runs a scenario of node/page.js against a gateway, open for the block."""
    integration = {
        "apiKey": key,
        "apiHost": f"{gateway.removeprefix('http://')}/v1",
        "protocol": "http",
        "deliveryStrategy": {"strategy": strategy, "config": {"size": 3, "timeout": 200}},
    }
    if strategy == "standard":
        del integration["deliveryStrategy"]
    analytics = {"writeKey": key, "cdnSettings": {"integrations": {"Segment.io": integration}}}
    task = {"analytics": analytics, "scenario": scenario, "count": count}
    made = Page()
    async with _site(made, task) as url, chromium(url, directory):
        yield made


@asynccontextmanager
async def _site(page: Page, task: dict[str, Any]) -> AsyncIterator[str]:
    text = (
        "<!doctype html><title>T</title><link rel=icon href=data:>"
        f'<body data-task="{html.escape(json.dumps(task))}">'
        "<script src=/library/index.js></script><script src=/page.js></script>"
    )

    async def index(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    async def script(request: web.Request) -> web.FileResponse:
        return web.FileResponse(NODE / "page.js")

    libraries = await asyncio.to_thread(node_libraries)
    site = web.Application()
    site.router.add_get("/docs", index)
    site.router.add_get("/page.js", script)
    site.router.add_static("/library", libraries / LIBRARY)
    site.router.add_post("/calls", page.on_calls)
    site.router.add_post("/failure", page.on_failure)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/docs?utm_source=News"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def chromium(url: str, directory: Path, *options: str) -> AsyncIterator[None]:
    """Headless Chromium with a page open, for the block."""
    program = next(filter(None, map(shutil.which, NAMES)))
    profile = f"--user-data-dir={directory / 'chromium'}"
    with (directory / "chromium.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *tied_to_parent([program, *OPTIONS, *options, profile, url]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # It has many processes: they are a group, and end as one.
            start_new_session=True,
        )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
