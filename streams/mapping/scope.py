"""From a mapping to closures: the part that is the same for every directive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from streams.errors import PayloadError, SettingsError
from streams.faults import suggestion
from streams.mapping.forms import compile_siblings
from streams.mapping.javascript import UNDEFINED, type_name
from streams.mapping.paths import Resolver
from streams.mapping.values import without_undefined

Check: TypeAlias = Callable[[Any, "Scope"], None]
"""Looks at a value of a mapping. Raises ``SettingsError`` if it is not what is asked for."""


@dataclass(frozen=True, slots=True)
class Directive:
    """What there is to know about one directive.

    ``check`` holds what Segment checks before it applies a mapping
    (`packages/core/src/mapping-kit/validate.ts` of segmentio/action-destinations), and
    ``compile`` what it does then, both about the value that stands under ``@name``. If
    ``hollow``, what the closure answers may have :data:`~streams.mapping.UNDEFINED` in it.
    """

    check: Check
    compile: Callable[[Any, Scope], Resolver]
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """A place in a mapping: where the compiler is, and which directives it knows.

    ``parity`` turns the errors that Segment finds only in use into errors in use. ``final``
    says that what is made here goes into the payload, and not through another directive: then
    undefined values of objects are left out at once. (A directive may need to see them: one
    in a later object of @merge removes the value of an earlier one.)
    """

    path: str
    directives: Mapping[str, Directive]
    parity: bool = False
    final: bool = True

    def at(self, step: str) -> Scope:
        """The place one key further in."""
        path = f"{self.path}.{step}" if self.path else step
        return Scope(path, self.directives, self.parity, self.final)

    def inside(self, step: str) -> Scope:
        """As :meth:`at`, for what a directive works on."""
        return replace(self.at(step), final=False)

    def outermost(self) -> Scope:
        """This place, for a mapping whose answer is complete in itself."""
        return replace(self, final=True)

    def error(self, text: str) -> SettingsError:
        """An error to raise, which names this place."""
        return SettingsError(f"{self.path or 'mapping'}: {text}")

    def refuse(self, text: str) -> Resolver:
        """What to answer for something that cannot work: an error, now or for every event."""
        if not self.parity:
            raise self.error(text)
        return failing(self.error(text))

    def fault(self, text: str) -> PayloadError:
        """An error to raise for one event, which names this place."""
        return PayloadError(f"{self.path or 'mapping'}: {text}")

    def insist_on_options(self, value: Mapping[str, Any], *options: str) -> None:
        """Refuses what is misspelt. Segment ignores it."""
        for option in value:
            if option not in options and not self.parity:
                hint = suggestion(option, options)
                raise self.error(f"there is no option {option}; {hint}")

    def check(self, mapping: Any) -> None:
        """Raises ``SettingsError`` for what Segment refuses before it applies a mapping.

        Like Segment, it looks into objects but not into arrays.
        """
        if isinstance(mapping, dict):
            if has_directive(mapping):
                self.check_directive(mapping)
            else:
                for key, value in mapping.items():
                    self.at(str(key)).check(value)

    def check_directive(self, mapping: Mapping[str, Any]) -> None:
        """As :meth:`check`, for an object with a key that begins with "@"."""
        names = [key for key in mapping if key != "_metadata"]
        if len(names) > 1:
            listed = ", ".join(map(str, names))
            raise self.error(
                f"a directive stands alone in its object, but here are {listed}; keep one"
            )
        directive = self.directives.get(names[0])
        if directive is None:
            hint = suggestion(names[0], self.directives)
            raise self.error(f"there is no directive {names[0]}; {hint}")
        directive.check(mapping[names[0]], self.at(names[0]))

    def compile(self, mapping: Any) -> Resolver:
        """The closure for ``mapping``, which is a JSON value with directives in it.

        A bad mapping raises ``SettingsError`` wherever it stands; with ``parity``, the closure
        raises ``PayloadError`` where Segment would.
        """
        if isinstance(mapping, dict):
            if is_directive(mapping):
                return self._directive(mapping)
            if has_directive(mapping) and not self.parity:
                self.check_directive(mapping)
            return self._object(mapping)
        if isinstance(mapping, list):
            return self._array(mapping)
        if mapping is None or isinstance(mapping, (str, bool, int, float)):
            return constant(mapping)
        raise self.error(f"should be a JSON value, not {type(mapping).__name__}")

    def compile_inside(self, mapping: Any) -> Resolver:
        """As :meth:`compile`, for what the directive at this place works on."""
        return replace(self, final=False).compile(mapping)

    def compile_string(self, mapping: Any) -> Resolver:
        """As :meth:`compile`, for a directive that has to lead to a string.

        The closure raises ``PayloadError`` for an event for which it does not.
        """
        if not isinstance(mapping, dict) or not is_directive(mapping):
            return self.refuse(f"should be a string or a directive, not {type_name(mapping)}")
        source = self.compile_inside(mapping)

        def resolve(event: Any) -> Any:
            value = source(event)
            if not isinstance(value, str):
                raise self.fault(f"expected a string, got {type_name(value)}")
            return value

        return resolve

    def _directive(self, mapping: Mapping[str, Any]) -> Resolver:
        if not self.parity:
            self.check_directive(mapping)
        # Of several, which only Segment accepts in some places, the first one counts.
        name = next(key for key in mapping if key.startswith("@"))
        directive = self.directives.get(name)
        if directive is None:
            return self.refuse(f"there is no directive {name}")
        resolve = directive.compile(mapping[name], self.at(name))
        if not (self.final and directive.hollow):
            return resolve
        return lambda event: without_undefined(resolve(event))

    def _object(self, mapping: Mapping[Any, Any]) -> Resolver:
        for key in mapping:
            if not isinstance(key, str):
                raise self.error(f"keys should be strings, but {key!r} is not")
        siblings = compile_siblings(mapping) if self.final else None
        if siblings is not None:
            return siblings
        entries = tuple((key, self.at(key).compile(value)) for key, value in mapping.items())
        if not self.final:
            return lambda event: {key: entry(event) for key, entry in entries}

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
        return lambda event: [item(event) for item in items]


def has_directive(mapping: Mapping[Any, Any]) -> bool:
    """Whether a key begins with "@"."""
    return any(isinstance(key, str) and key.startswith("@") for key in mapping)


def is_directive(mapping: Any) -> bool:
    """Whether Segment's runtime takes ``mapping`` for a directive: nothing else is in it."""
    if not isinstance(mapping, dict) or not has_directive(mapping):
        return False
    return all(isinstance(key, str) and (key[:1] == "@" or key == "_metadata") for key in mapping)


def constant(value: Any) -> Resolver:
    """A closure that answers ``value``, which has to be immutable."""
    return lambda _event: value


def failing(error: SettingsError) -> Resolver:
    """A closure that raises what ``error`` says for every event."""

    def fail(_event: Any) -> Any:
        raise PayloadError(str(error))

    return fail
