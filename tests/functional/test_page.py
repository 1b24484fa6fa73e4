"""The page of a worker that runs, in a real browser, as a person uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.functional.conftest import World, event
from tests.support.browser import chromium_is_missing
from tests.support.clients import needs
from tests.support.devtools import Tab, tab
from tests.support.world import Worker, workers

pytestmark = pytest.mark.functional

TOKEN = "a-token-of-the-tests"
NASTY = "<img src=x onerror=alert(1)>"


@asynccontextmanager
async def opened(
    world: World, tmp_path: Path, **settings: str
) -> AsyncIterator[tuple[Worker, Tab]]:
    """A worker and its page, for the block; the page has had no trouble and asked nobody else."""
    needs(chromium_is_missing())
    worker = world.worker(**settings)
    async with workers(worker), tab(tmp_path) as page:
        await page.go(f"{worker.web}/")
        await page.shows("document.getElementById('status').textContent === 'ready'")
        yield worker, page
        assert page.troubles == []
        assert [url for url in page.requested if not url.startswith((worker.web, "data:"))] == []


async def unlock(page: Tab, token: str = TOKEN) -> None:
    """With keys only: the token is the first field."""
    await page.js("document.querySelector('#token').focus()")
    await page.type(token)
    await page.press("Enter", 13, "\r")


def card(destination: str) -> str:
    """The place of a destination, in JavaScript."""
    return (
        "[...document.querySelectorAll('.card')].find((each) => "
        f"each.querySelector('h3').textContent === '{destination}')"
    )


def cell(action: str, column: str, *, of: str = "encharge") -> str:
    """The text of a cell of a destination's table, in JavaScript."""
    return (
        f"(() => {{ const table = {card(of)}.querySelector('table');"
        "const heads = [...table.tHead.rows[0].cells].map((each) => each.textContent);"
        "const row = [...table.tBodies[0].rows].find((each) => "
        f"each.cells[0].textContent === '{action}');"
        f"return row && row.cells[heads.indexOf('{column}')].textContent; }})()"
    )


async def luminance(page: Tab) -> tuple[float, float]:
    """How light text and background are, 0 to 1, by WCAG 2's definition."""
    found: list[float] = await page.js(
        "['color', 'backgroundColor'].map((name) => { const [r, g, b] = "
        "getComputedStyle(document.body)[name].match(/\\d+/g).map((each) => {"
        "const part = each / 255;"
        "return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; });"
        "return 0.2126 * r + 0.7152 * g + 0.0722 * b; })"
    )
    return found[0], found[1]


async def test_what_flows_is_counted_live_and_nothing_personal_without_a_token(
    small_world: World, tmp_path: Path
) -> None:
    world = small_world
    async with opened(world, tmp_path) as (worker, page):
        await world.feed(
            *(event("track", n, anonymousId=f"a{n}") for n in range(7)),
            event("screen", "s", anonymousId="secret-person"),
            b'{"type": "tr',
        )
        await world.settled(9, worker)
        # Without a look at the page again.
        await page.shows(f"{cell('track', 'Delivered')} === '7'")
        await page.shows(f"{cell('screen', 'Filtered')} === '1'")
        text = await page.js("document.body.innerText")
        assert world.topic in text
        assert "1 dead-lettered" in text
        assert "1 no-subscription" in text
        assert "started without STREAMS_WEB_TOKEN" in text
        assert "secret-person" not in text
        shown = (
            "[...document.querySelectorAll('form, table, button')]"
            ".filter((x) => x.checkVisibility()).map((x) => x.tagName)"
        )
        assert await page.js(shown) == ["TABLE"], "nothing to act with"


async def test_each_destination_has_its_place_and_one_that_is_away_is_told(
    small_world: World, tmp_path: Path
) -> None:
    world = small_world
    config = tmp_path / "two.yaml"
    config.write_text(
        "destinations:\n"
        "  - {type: encharge, name: one}\n"
        "  - {type: encharge, name: other, settings: {ENCHARGE_API_URL: 'http://127.0.0.1:9',"
        " ENCHARGE_INGEST_URL: 'http://127.0.0.1:9', STREAMS_CIRCUIT_FAILURES: 2}}\n"
    )
    async with opened(world, tmp_path, STREAMS_CONFIG=str(config)) as (_, page):
        await world.feed(*(event("track", n, anonymousId=f"a{n}") for n in range(6)))
        await page.shows(f"{cell('track', 'Delivered', of='one')} === '6'")
        await page.shows(f"{cell('track', 'In delivery', of='other')} === '6'")
        away = f"{card('other')}.querySelector('.pill').textContent === 'away: only probed'"
        await page.shows(away)
        assert await page.js(f"{card('one')}.querySelector('.pill').textContent") == "called"
        stages = "[...document.querySelectorAll('#stages .name')].map((each) => each.textContent)"
        assert await page.js(stages) == [
            "Ingest",
            "Resolve",
            "Route",
            "Windows and delivery",
            "Outcomes",
        ]


async def test_a_dead_letter_is_seen_and_redriven_with_the_token(
    small_world: World, tmp_path: Path
) -> None:
    world = small_world
    await world.encharge.faults(
        {"match": {"anonymousId": "ill"}, "fault": {"status": 422, "body": {"error": NASTY}}}
    )
    async with opened(world, tmp_path, STREAMS_WEB_TOKEN=TOKEN) as (worker, page):
        await world.feed(event("track", 1, anonymousId="ill", properties={"x": NASTY}))
        await world.settled(1, worker)
        await page.shows("document.querySelector('#token').checkVisibility()")
        await unlock(page)
        rows = "document.querySelectorAll('#letters-table tbody tr')"
        await page.shows(f"{rows}.length === 1")
        line = await page.js(f"{rows}[0].innerText")
        assert "rejected 422" in line
        assert "ill" in line

        await page.js(f"{rows}[0].querySelector('[aria-label^=View]').click()")
        await page.shows("document.querySelector('#letters-table pre')")
        assert NASTY in await page.js("document.querySelector('#letters-table pre').textContent")
        assert await page.js("document.querySelectorAll('img').length") == 0, "text is text"

        await world.encharge.faults()
        await page.js(f"{rows}[0].querySelector('[aria-label^=Redrive]').click()")
        await page.shows(
            "document.getElementById('letters-said').textContent.endsWith('was sent through again')"
        )
        await world.settled(2, worker)
        assert [body["messageId"] for body in await world.bodies()] == ["m-1"]
        assert await page.js(f"{rows}[0].innerText.trim().endsWith('redriven')")
        assert await page.js("document.querySelectorAll('[aria-label^=Redrive]').length") == 0

        await page.js("document.getElementById('lock').click()")
        assert await page.js(f"{rows}.length") == 0, "locked: nothing personal stays"
        await page.js("location.reload()")
        await page.shows("document.querySelector('#token')?.checkVisibility()")


async def test_a_person_is_looked_up_and_an_event_tried(small_world: World, tmp_path: Path) -> None:
    world = small_world
    async with opened(world, tmp_path, STREAMS_WEB_TOKEN=TOKEN) as (worker, page):
        traits = {"email": "u@example.com"}
        await world.feed(event("identify", 1, anonymousId="device", userId="user", traits=traits))
        await world.settled(1, worker)
        await page.shows("document.querySelector('#token').checkVisibility()")
        await unlock(page)
        await page.shows("document.querySelector('#person-id').checkVisibility()")
        found = "document.getElementById('person-found').innerText"
        for id, known in (("device", "As a device"), ("user", "As a user")):
            await page.js("document.getElementById('person-id').select()")
            await page.type(id)
            await page.press("Enter", 13, "\r")
            await page.shows(f"{found}.includes('{known}')")
            text = await page.js(found)
            assert "u@example.com" in text
            assert "m-1" in text
        await page.js("document.querySelector('#try-form button').click()")
        await page.shows("document.getElementById('try-said').textContent === '1 request'")
        tried = await page.js("document.getElementById('try-found').innerText")
        assert "POST http" in tried
        assert '"event": "Signed Up"' in tried
        assert "X-Encharge-Token: (hidden)" in tried
    assert len(await world.bodies()) == 1, "nothing was sent for the event that was tried"


async def test_it_is_light_and_dark_readable_narrow_and_used_with_keys(
    small_world: World, tmp_path: Path
) -> None:
    async with opened(small_world, tmp_path, STREAMS_WEB_TOKEN=TOKEN) as (_, page):
        for scheme, is_dark in (("light", False), ("dark", True)):
            await page.scheme(scheme)
            text, back = await luminance(page)
            assert (back < text) == is_dark
            contrast = (max(text, back) + 0.05) / (min(text, back) + 0.05)
            assert contrast >= 7, "WCAG 2, level AAA"
        await page.shows("document.querySelector('#token').checkVisibility()")
        await page.js("document.body.focus()")
        reached = []
        for _ in range(8):
            await page.press("Tab", 9)
            reached.append(
                await page.js("document.activeElement.id || document.activeElement.hash")
            )
        assert reached[:6] == ["#main", "#flow", "#letters", "#person", "#try", "token"]
        unnamed = (
            "[...document.querySelectorAll('input, textarea')]"
            ".filter((x) => !x.labels.length).map((x) => x.id)"
        )
        assert await page.js(unnamed) == []
        await page.call(
            "Emulation.setDeviceMetricsOverride",
            width=360,
            height=640,
            deviceScaleFactor=1,
            mobile=True,
        )
        assert await page.js("document.documentElement.scrollWidth") <= 360


async def test_the_api_tells_of_letters_that_are_not_there_and_of_people_unknown(
    small_world: World,
) -> None:
    world = small_world
    worker = world.worker(STREAMS_WEB_TOKEN=TOKEN)
    async with workers(worker):
        await world.feed(*(b'{"type":"track","number":%d}' % n for n in range(3)))
        await world.settled(3, worker)
        async with httpx.AsyncClient(
            base_url=worker.web,
            headers={"Authorization": f"Bearer {TOKEN}"},
            trust_env=False,
            timeout=60,
        ) as http:
            listed = (await http.get("/api/dead-letters")).json()
            ids = [letter["id"] for letter in listed["letters"]]
            assert len(ids) == 3
            assert listed["more"] is False
            found: dict[str, Any] = (await http.get(f"/api/dead-letters/{ids[0]}")).json()
            assert '"number":2' in found["value"], "the newest first"
            partition = ids[0].partition("@")[0]
            gone = f"{partition}@99999"
            assert (await http.get(f"/api/dead-letters/{gone}")).status_code == 404
            answers = await asyncio.gather(
                http.post("/api/redrive", json={"ids": [ids[0], gone]}),
                http.post("/api/identity", json={"id": "nobody"}),
            )
            outcome, person = (answer.json() for answer in answers)
            assert outcome == {
                "redriven": 1,
                "redrivenBefore": [],
                "refused": [],
                "missing": [gone],
            }
            assert (person["device"], person["user"]) == (None, None)
            again = (await http.post("/api/redrive", json={"ids": [ids[0]]})).json()
            assert (again["redriven"], again["redrivenBefore"]) == (0, [ids[0]])
