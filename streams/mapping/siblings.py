"""A common form of object, compiled to something faster.

``{"city": {"@path": "$.context.location.city"}, "region": {"@path": "...location.region"}}``
asks for the same parent again and again. The closure made here looks it up once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.mapping.javascript import UNDEFINED
from streams.mapping.paths import Resolver, compile_keys, member, split_path, without_root


def compile_siblings(mapping: Mapping[str, Any]) -> Resolver | None:
    """The closure for an object of paths that differ in their last key only; else ``None``."""
    paths = {name: _keys(value) for name, value in mapping.items()}
    parents = {tuple(keys[:-1]) for keys in paths.values()}
    if len(parents) != 1 or not all(paths.values()):
        return None
    parent = compile_keys(parents.pop())
    entries = tuple((name, keys[-1]) for name, keys in paths.items())

    def resolve(event: Any) -> Any:
        node = parent(event)
        result: dict[str, Any] = {}
        if isinstance(node, dict):
            for name, key in entries:
                if key in node:
                    result[name] = node[key]
        elif node is not UNDEFINED:
            for name, key in entries:
                value = member(node, key)
                if value is not UNDEFINED:
                    result[name] = value
        return result

    return resolve


def _keys(mapping: Any) -> list[str]:
    """The keys of a path that is fixed; none for any other mapping."""
    if isinstance(mapping, dict) and len(mapping) == 1 and isinstance(mapping.get("@path"), str):
        return split_path(without_root(mapping["@path"]))
    return []
