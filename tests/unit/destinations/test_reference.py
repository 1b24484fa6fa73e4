from __future__ import annotations

from pathlib import Path

from streams.destinations.encharge.actions import ACTIONS
from streams.destinations.encharge.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "actions.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_it_names_every_field() -> None:
    for action in ACTIONS.values():
        section = reference().split(f"## {action.title}\n")[1].split("\n## ")[0]
        for name, field in action.fields.items():
            assert f"| `{name}`{'*' if field.required else ''} | {field.label} |" in section
