"""The examples in docs/mappings.md and docs/triggers.md are true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from streams.errors import PayloadError, SettingsError
from streams.mapping import compile_mapping
from streams.mapping.directives import DIRECTIVES
from streams.mapping.liquid.filters import DISABLED
from streams.mapping.liquid.syntax import DISABLED_TAGS
from streams.routing.triggers import compile_trigger

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "mappings.md").read_text(encoding="utf-8")


def examples(name: str) -> list[Any]:
    page = (DOCS / name).read_text(encoding="utf-8")
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]


@pytest.mark.parametrize("example", examples("mappings.md"), ids=str)
def test_mappings(example: dict[str, Any]) -> None:
    if "refused" in example:
        with pytest.raises(SettingsError, match=re.escape(example["refused"])):
            compile_mapping(example["mapping"])
        return
    resolve = compile_mapping(example["mapping"])
    if "error" in example:
        with pytest.raises(PayloadError, match=re.escape(example["error"])):
            resolve(example["event"])
    else:
        assert as_text(resolve(example["event"])) == as_text(example["result"])


@pytest.mark.parametrize("example", examples("triggers.md"), ids=lambda e: e["trigger"])
def test_triggers(example: dict[str, Any]) -> None:
    if "refused" in example:
        with pytest.raises(SettingsError, match=re.escape(example["refused"])):
            compile_trigger(example["trigger"])
        return
    matches = compile_trigger(example["trigger"])
    for event in example["matches"]:
        assert matches(event), event
    for event in example["not"]:
        assert not matches(event), event


def test_every_directive_has_a_section() -> None:
    assert set(re.findall(r"^## (@\w+)$", PAGE, re.MULTILINE)) == set(DIRECTIVES)


def test_what_is_disabled_in_liquid_is_told() -> None:
    for name in (*DISABLED, *DISABLED_TAGS):
        assert f"`{name}`" in PAGE


def as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
