"""What the README shows is what a newcomer sees."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from streams.dev import sample
from streams.dev.broker import tied_to_parent

pytestmark = pytest.mark.functional

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\s+(identify|track|page|group|alias|screen|invalid|all)\s+([\d. ]+?)\s*$", re.M)


def table(text: str) -> dict[str, list[int]]:
    """Rows of the summary: delivered, coalesced, filtered, duplicate, dead-lettered, records."""
    return {
        name: [0 if cell == "." else int(cell) for cell in cells.split()]
        for name, cells in ROW.findall(text)
    }


async def test_the_demonstration_ends_well_and_its_numbers_add_up() -> None:
    process = await asyncio.create_subprocess_exec(
        *tied_to_parent([sys.executable, "-m", "streams", "dev", "up", "--exit"]),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
    )
    output = (await asyncio.wait_for(process.communicate(), 120))[0].decode()
    assert process.returncode == 0, output
    rows = table(output)
    total = rows.pop("all")
    for *outcomes, records in [*rows.values(), total]:
        assert sum(outcomes) == records
    assert [sum(column) for column in zip(*rows.values(), strict=True)] == total
    assert total[-1] == len(sample.load())

    shown = table((ROOT / "README.md").read_text())
    # Which identifies share a window depends on the moment; everything else does not.
    assert {name: [row[0] + row[1], *row[2:]] for name, row in {**rows, "all": total}.items()} == {
        name: [row[0] + row[1], *row[2:]] for name, row in shown.items()
    }
    for line in re.findall(r"^  2026-11.*$", (ROOT / "README.md").read_text(), re.M):
        assert line in output
