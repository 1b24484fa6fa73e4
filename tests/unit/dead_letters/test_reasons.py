"""The reasons of the documentation are those of the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import streams
from streams.dead_letters.reasons import REASONS, STAGES
from streams.dead_letters.redrive import Place, Redrive, headers
from streams.delivery import deliver
from streams.events import Origin
from streams.gateway import server
from streams.routing import intake
from streams.source import ingest
from tests.unit.dead_letters.test_letter import LETTER

ROOT = Path(streams.__file__).parent
DOCS = (ROOT.parent / "docs/dead-letters.md").read_text()
ERRORS = {"EventError", "InvalidEvent", "DeliveryError"}


def reasons() -> Iterator[str]:
    """Every literal that is the reason of an error or of a letter."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            first = node.args[:1] if name in ERRORS else []
            if isinstance(node.func, ast.Attribute) and node.func.attr == "_refuse":
                first = node.args[1:2]
            if path.name == "errors.py" and isinstance(node.func, ast.Attribute):
                first = node.args[:1]
            if name == "DeadLetter":
                first = [k.value for k in node.keywords if k.arg == "reason"]
            yield from (a.value for a in first if isinstance(a, ast.Constant))


def test_every_reason_in_the_code_is_explained_and_no_other() -> None:
    assert set(reasons()) == set(REASONS)


def test_the_stages_are_those_that_bury() -> None:
    assert [module.STAGE for module in (server, ingest, intake, deliver)] == list(STAGES)
    assert {reason.stage for reason in REASONS.values()} <= {*STAGES, "any"}


def test_the_documentation_has_them_as_a_table() -> None:
    rows = [
        f"| `{word}` | {reason.stage} | {reason.meaning} | {reason.remedy} |"
        for word, reason in REASONS.items()
    ]
    table = "\n".join(["| reason | stage | means | worth a redrive |", "| --- | --- | --- | --- |"])
    assert "\n".join([table, *rows]) in DOCS, "\n".join([table, *rows])


def test_the_documentation_names_every_header() -> None:
    redrive = Redrive(1, "0@1", is_resolved=True, user="u")
    names = {name for name, _ in headers(redrive, Place(Origin("t", 0, 1), 5))}
    names |= {name for name, _ in LETTER.record().headers}
    assert {name for name in names if f"`{name}`" not in DOCS} == set()
