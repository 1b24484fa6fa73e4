"""The page about the actions, made from the actions themselves.

``python -m streams.destinations.encharge.reference`` writes it; docs/actions.md is what it wrote.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Final

from streams.destinations.encharge.actions import ACTIONS, Action
from streams.destinations.encharge.presets import PRESETS
from streams.mapping.fields import Field
from streams.mapping.javascript import UNDEFINED

_HEAD: Final = """\
# Actions

What Encharge can be asked to do, with the fields that a [mapping](mappings.md) fills. This page is
made from the code: `python -m streams.destinations.encharge.reference > docs/actions.md`.

Fields with a star are required. The preset's mapping is what a new destination starts with; the
preset's [trigger](triggers.md) fires the action.
"""

_DELETION = """\
## Deletion

Not an action to subscribe to: every event of type `delete`, as Segment's privacy tools send it,
erases a person at Encharge, by userId, else by anonymousId
(`DELETE /v1/people?people[0][userId]=...`), and in this program's own tables
([what a deletion forgets](architecture.md#what-a-deletion-forgets)). An id with `#`, `%`, `&` or
`+` is written so that it means itself; Segment leaves these as they are, and so asks for another
person.
"""


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *map(_section, ACTIONS.values()), _DELETION])


def _section(action: Action) -> str:
    summary = (sys.modules[action.request.__module__].__doc__ or "").partition(": ")[2].strip()
    lines = [f"## {action.title}", "", summary[:1].upper() + summary[1:], ""]
    lines += [f"`partnerAction`: `{action.slug}`. {_trigger(action)}", ""]
    lines += ["| field | label | type | preset's mapping |", "| --- | --- | --- | --- |"]
    for name, field in action.fields.items():
        lines += _rows(name, field)
    return "\n".join([*lines, ""])


def _trigger(action: Action) -> str:
    for preset in PRESETS:
        if preset["partnerAction"] == action.slug:
            return f"Preset: `{preset['subscribe']}`."
    return "No preset."


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


if __name__ == "__main__":
    sys.stdout.write(reference())
