"""Pages about actions, made from the actions themselves."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from streams.destinations.action import Action
from streams.destinations.subscriptions import Definition
from streams.mapping.fields import Field
from streams.mapping.javascript import UNDEFINED


def sections(actions: Iterable[Action], presets: Iterable[Definition]) -> list[str]:
    """Each action in Markdown, with the mapping and trigger of its preset."""
    triggers = {preset["partnerAction"]: preset["subscribe"] for preset in presets}
    return [_section(action, triggers.get(action.slug)) for action in actions]


def _section(action: Action, trigger: Any) -> str:
    summary = (
        (sys.modules[action.request.__module__].__doc__ or "")
        .partition(": ")[2]
        .partition("\n\n")[0]
        .strip()
    )
    lines = [f"## {action.title}", "", summary[:1].upper() + summary[1:], ""]
    told = f"Preset: `{trigger}`." if trigger is not None else "No preset."
    lines += [f"`partnerAction`: `{action.slug}`. {told}", ""]
    lines += ["| field | label | type | preset's mapping |", "| --- | --- | --- | --- |"]
    for name, field in action.fields.items():
        lines += _rows(name, field)
    return "\n".join([*lines, ""])


def _rows(name: str, field: Field, default: object = UNDEFINED) -> Iterator[str]:
    default = field.default if default is UNDEFINED else default
    star = "*" if field.required else ""
    kind = f"{field.type}, {field.format}" if field.format else field.type
    inner = field.properties or {}
    shown = "" if inner or default is UNDEFINED else f"`{_short(default)}`"
    yield f"| `{name}`{star} | {field.label} | {kind} | {shown} |"
    for key, member in inner.items():
        mapping = default.get(key, UNDEFINED) if isinstance(default, dict) else UNDEFINED
        yield from _rows(f"{name}.{key}", member, mapping)


def _short(mapping: object) -> str:
    """A mapping on one line: paths without their quotes, @if as "else"."""
    if isinstance(mapping, dict) and mapping.keys() == {"@path"}:
        return str(mapping["@path"])
    if isinstance(mapping, dict) and mapping.keys() == {"@if"}:
        options = mapping["@if"]
        return f"{_short(options['then'])} else {_short(options['else'])}"
    return json.dumps(mapping)
