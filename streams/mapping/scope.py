"""From a mapping to closures: the part that is the same for every directive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from streams.errors import PayloadError, SettingsError
from streams.mapping.javascript import UNDEFINED, type_name
from streams.mapping.paths import Resolver
from streams.mapping.siblings import compile_siblings

Directive: TypeAlias = Callable[[Any, "Scope"], Resolver]
"""Compiles what stands under ``@name``. Raises ``SettingsError`` through ``Scope.error``."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A place in a mapping: where the compiler is, and which directives it knows."""

    path: str
    directives: Mapping[str, Directive]

    def at(self, step: str) -> Scope:
        """The place one key further in."""
        return Scope(f"{self.path}.{step}" if self.path else step, self.directives)

    def error(self, text: str) -> SettingsError:
        """An error to raise, which names this place."""
        return SettingsError(f"{self.path or 'mapping'}: {text}")

    def compile(self, mapping: Any) -> Resolver:
        """The closure for ``mapping``, which is a JSON value with directives in it.

        A bad mapping raises ``SettingsError`` wherever it stands. Segment is laxer: it does
        not look into arrays (`packages/core/src/mapping-kit/validate.ts`).
        """
        if isinstance(mapping, dict):
            if _is_directive(mapping):
                return self._directive(mapping)
            return self._object(mapping)
        if isinstance(mapping, list):
            return self._array(mapping)
        if mapping is None or isinstance(mapping, (str, bool, int, float)):
            return constant(mapping)
        raise self.error(f"should be a JSON value, not {type(mapping).__name__}")

    def compile_string(self, mapping: Any) -> Resolver:
        """As :meth:`compile`, for a directive that has to lead to a string.

        The closure raises ``PayloadError`` for an event for which it does not.
        """
        if not isinstance(mapping, dict) or not _is_directive(mapping):
            raise self.error(f"should be a string or a directive, not {type_name(mapping)}")
        source = self.compile(mapping)

        def resolve(event: Any) -> Any:
            value = source(event)
            if not isinstance(value, str):
                raise PayloadError(f"{self.path}: expected a string, got {type_name(value)}")
            return value

        return resolve

    def _directive(self, mapping: Mapping[str, Any]) -> Resolver:
        names = [key for key in mapping if key != "_metadata"]
        if len(names) > 1:
            listed = ", ".join(map(str, names))
            raise self.error(f"a directive stands alone in its object, but here are {listed}")
        name = names[0]
        directive = self.directives.get(name)
        if directive is None:
            raise self.error(f"there is no directive {name}")
        return directive(mapping[name], self.at(name))

    def _object(self, mapping: Mapping[Any, Any]) -> Resolver:
        for key in mapping:
            if not isinstance(key, str):
                raise self.error(f"keys should be strings, but {key!r} is not")
        siblings = compile_siblings(mapping)
        if siblings is not None:
            return siblings
        entries = tuple((key, self.at(key).compile(value)) for key, value in mapping.items())

        def resolve(event: Any) -> Any:
            result = {}
            for key, entry in entries:
                value = entry(event)
                if value is not UNDEFINED:
                    result[key] = value
            return result

        return resolve

    def _array(self, mapping: list[Any]) -> Resolver:
        items = [self.at(str(index)).compile(value) for index, value in enumerate(mapping)]

        def resolve(event: Any) -> Any:
            # JSON has no undefined: in an array, JSON.stringify writes null for it.
            values = (item(event) for item in items)
            return [None if value is UNDEFINED else value for value in values]

        return resolve


def _is_directive(mapping: Mapping[Any, Any]) -> bool:
    return any(isinstance(key, str) and key.startswith("@") for key in mapping)


def constant(value: Any) -> Resolver:
    """A closure that answers ``value``, which has to be immutable."""
    return lambda _event: value
