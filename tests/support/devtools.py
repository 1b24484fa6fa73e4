"""A page in headless Chromium, driven and looked at over the DevTools protocol.

https://chromedevtools.github.io/devtools-protocol has its methods and events.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.browser import chromium
from tests.support.world import until


class Tab:
    """A page that is open."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.troubles: list[str] = []
        """What the console shows as an error or a warning, and exceptions that nobody caught."""
        self.requested: list[str] = []
        """The addresses of all that was asked for."""
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Take what the browser says, for as long as it is there."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self._happened(said["method"], said["params"])

    def _happened(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.troubles.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.troubles.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.troubles.append(str(params["entry"]))
        elif method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        said = await asyncio.wait_for(answer, 30)
        assert "error" not in said, said
        found: dict[str, Any] = said["result"]
        return found

    async def go(self, url: str, *, width: int = 1200, height: int = 800) -> None:
        """Open an address in a window of this size."""
        for domain in ("Runtime", "Log", "Network", "Page"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        await self.call("Page.navigate", url=url)

    async def scheme(self, name: str) -> None:
        """Prefer a ``light`` or ``dark`` page."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def js(self, expression: str) -> Any:
        """The value of an expression on the page."""
        said = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def shows(self, expression: str, within: float = 30) -> None:
        """Wait until an expression is true on the page, which may not have loaded yet."""

        async def is_so() -> bool:
            return bool(
                await self.js(f"(() => {{ try {{ return Boolean({expression}) }} catch {{}} }})()")
            )

        try:
            await until(is_so, expression, within)
        except AssertionError as error:
            text = await self.js("document.body.innerText")
            raise AssertionError(f"{error}; {self.troubles}; the page:\n{text}") from None

    async def type(self, text: str) -> None:
        """Write where the focus is."""
        await self.call("Input.insertText", text=text)

    async def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key, such as Tab (9) or Enter (13, "\\r")."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **more,
            )

    async def screenshot(self) -> bytes:
        """What is to be seen, as a PNG."""
        found = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(found["data"])


@asynccontextmanager
async def tab(directory: Path) -> AsyncIterator[Tab]:
    """An empty page, in a browser of its own."""
    port = directory / "chromium" / "DevToolsActivePort"
    async with chromium("about:blank", directory, "--remote-debugging-port=0"):

        async def listens() -> bool:
            return port.exists() and port.read_text().count("\n") > 0

        await until(listens, "Chromium listens", within=60)
        address = f"http://127.0.0.1:{port.read_text().splitlines()[0]}/json/list"
        async with aiohttp.ClientSession() as http:
            async with http.get(address) as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            async with http.ws_connect(
                pages[0]["webSocketDebuggerUrl"], max_msg_size=64 << 20
            ) as socket:
                made = Tab(socket)
                listening = asyncio.ensure_future(made.listen())
                try:
                    yield made
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
