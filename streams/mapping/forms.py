"""Common forms of mappings, which can be compiled to something faster.

Siblings: ``{"city": {"@path": "$.context.location.city"}, "region": {"@path":
"...location.region"}}`` asks for the same parent again and again. Alternatives: an @if that asks
whether a value exists in order to take it, and else does the same with another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.mapping.inherited import OBJECT
from streams.mapping.javascript import UNDEFINED
from streams.mapping.paths import Resolver, compile_keys, member, split_path, without_root


def compile_siblings(mapping: Mapping[str, Any]) -> Resolver | None:
    """The closure for an object of paths that differ in their last key only; else ``None``."""
    siblings = sibling_paths(mapping)
    if siblings is None:
        return None
    keys, entries = siblings
    parent = compile_keys(keys)

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


def sibling_paths(mapping: Any) -> tuple[Sequence[str], tuple[tuple[str, str], ...]] | None:
    """The keys to the common parent, and for each name its key there; else ``None``."""
    if not isinstance(mapping, dict):
        return None
    paths = {name: fixed_path(value) for name, value in mapping.items()}
    parents = {tuple(keys[:-1]) for keys in paths.values()}
    if len(parents) != 1 or not all(paths.values()):
        return None
    return parents.pop(), tuple((name, keys[-1]) for name, keys in paths.items())


def fixed_path(mapping: Any) -> Sequence[str]:
    """The keys of a path that is fixed; none for any other mapping.

    None also for the rare keys that every object has.
    """
    if isinstance(mapping, dict) and len(mapping) == 1 and isinstance(mapping.get("@path"), str):
        keys = split_path(without_root(mapping["@path"]))
        return keys if OBJECT.isdisjoint(keys) else ()
    return ()


def fixed_text(mapping: Any) -> str:
    """The text that stands for itself; empty for any other mapping."""
    if isinstance(mapping, dict) and len(mapping) == 1:
        mapping = mapping.get("@literal")
    return mapping if isinstance(mapping, str) else ""


def alternative_paths(mapping: Any) -> list[Sequence[str]]:
    """The paths of which the first that exists is taken; none for any other mapping."""
    paths: list[Sequence[str]] = []
    while True:
        keys = fixed_path(mapping)
        if keys:
            return [*paths, keys]
        options = mapping.get("@if") if isinstance(mapping, dict) and len(mapping) == 1 else None
        if not isinstance(options, dict) or options.keys() != {"exists", "then", "else"}:
            return []
        keys = fixed_path(options["exists"])
        if not keys or options["then"] != options["exists"]:
            return []
        paths.append(keys)
        mapping = options["else"]
