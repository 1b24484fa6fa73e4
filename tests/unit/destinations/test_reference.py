from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from streams.destinations.action import Action
from streams.destinations.encharge.actions import ACTIONS
from streams.destinations.encharge.reference import reference
from streams.destinations.usercom import actions as usercom
from streams.destinations.usercom.reference import reference as usercom_reference

DOCS = Path(__file__).parents[3] / "docs"
PAGES = [
    pytest.param("actions.md", reference, ACTIONS, id="encharge"),
    pytest.param("usercom.md", usercom_reference, usercom.ACTIONS, id="user.com"),
]


@pytest.mark.parametrize(("name", "reference", "actions"), PAGES)
def test_the_page_is_up_to_date(
    name: str, reference: Callable[[], str], actions: Mapping[str, Action]
) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == reference()


@pytest.mark.parametrize(("name", "reference", "actions"), PAGES)
def test_it_names_every_field(
    name: str, reference: Callable[[], str], actions: Mapping[str, Action]
) -> None:
    for action in actions.values():
        section = reference().split(f"## {action.title}\n")[1].split("\n## ")[0]
        for slug, field in action.fields.items():
            assert f"| `{slug}`{'*' if field.required else ''} | {field.label} |" in section
