"""Mappings that the defaults of fields are made of."""

from __future__ import annotations

from typing import Any


def path(name: str) -> dict[str, str]:
    """The mapping that takes one value of the event."""
    return {"@path": f"$.{name}"}


def first_of(*names: str) -> dict[str, Any]:
    """The mapping that takes the first of several values that is there."""
    name, *others = names
    if not others:
        return path(name)
    return {"@if": {"exists": path(name), "then": path(name), "else": first_of(*others)}}
