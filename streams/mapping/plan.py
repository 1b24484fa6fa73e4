"""The short way to a payload, for events in which all is as expected: a function of its own.

Most fields of most mappings are values at fixed paths. To look one up is cheap; a loop over
closures that do so costs several times that. So the function for a mapping is written out as
straight-line Python when the program starts, and compiled once. Where an event is not as
expected, it leaves off and asks the long way, which is the reference: both answer the same, to
the order of the keys (tests/property/test_plan.py).

For ``{"userId": {"@path": "$.userId"}, "ip": {"@path": "$.context.ip"}}`` it is::

    def build(event):
        payload = {}
        try:
            in0 = event.get('context')
            if in0 is not None and type(in0) is not dict:
                raise Unusual
            value = event.get('userId')
            if value is not None:
                if type(value) is not str:
                    payload['userId'] = check0(value)
                elif value:
                    payload['userId'] = value
            if in0:
                value = in0.get('ip')
                if value is not None:
                    if type(value) is not str:
                        payload['ip'] = check1(value)
                    elif value:
                        payload['ip'] = value
            return payload
        except (Unusual, PayloadError, RecursionError):
            pass
        return long_way(event)

``print(compile_payload(fields, mapping).__doc__)`` shows that of any mapping. Nothing of a mapping
gets into the source but keys and texts, as literals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from textwrap import indent
from types import CodeType
from typing import Any, Final, NamedTuple, TypeAlias

from streams.errors import PayloadError
from streams.events import Event
from streams.mapping.fields import Check, DateTime, Field, NoType, accepted_type, parts_of
from streams.mapping.formats import is_date_time
from streams.mapping.forms import alternative_paths, fixed_text, sibling_paths
from streams.mapping.javascript import UNDEFINED
from streams.mapping.paths import Resolver

_Build: TypeAlias = Callable[[Event], dict[str, Any]]


class Step(NamedTuple):
    """How one field comes about: where from, the type that may pass, and what else may.

    Without ``mapping``, no short way is looked for.
    """

    name: str
    field: Field
    mapping: Any
    resolve: Resolver
    accepted: type
    check: Check


class _Unusual(Exception):  # noqa: N818 - it is no error
    """This event is one for the long way."""


_NAMES: Final[Mapping[str, Any]] = {
    "PayloadError": PayloadError,
    "UNDEFINED": UNDEFINED,
    "Unusual": _Unusual,
    "is_date_time": is_date_time,
}
_FUNCTION: Final = """\
def build(event):
    payload = {{}}
{parts}\
    try:
{body}\
        return payload
    except (Unusual, PayloadError, RecursionError):
        pass
    return long_way(event)
"""
_PARENT: Final = """\
{name} = event.get({key!r})
if {name} is not None and type({name}) is not dict:
    raise Unusual
"""
_DEEPER: Final = """\
if type(value) is dict:
    value = value.get({key!r})
elif value is not None:
    raise Unusual
"""
_OBJECT: Final = """\
if type(value) is not dict:
    raise Unusual
"""
_MEMBER: Final = """\
text = value.get({key!r})
if type(text) is str:
    found[{name!r}] = text
elif text is not None:
    raise Unusual
"""
_TAKE: Final[Mapping[type, str]] = {
    str: """\
if value is not None:
    if type(value) is not str:
        {place} = {check}(value)
    elif value:
        {place} = value
""",
    dict: """\
if value is not None:
    if type(value) is dict:
        {place} = value
    elif value != "":
        {place} = {check}(value)
""",
    DateTime: """\
if value is not None:
    if type(value) is str and is_date_time(value):
        {place} = value
    elif value != "":
        {place} = {check}(value)
""",
    NoType: """\
if value is not None and value != "":
    {place} = {check}(value)
""",
}
"""By the type that passes. To a field, null is nothing, and so is an empty text."""


_TAKE_REQUIRED: Final = """\
if type(value) is str and value:
    {place} = value
elif value is None or value == "":
    raise Unusual
else:
    {place} = {check}(value)
"""
"""As the first of these, for a field that has to be there."""


class _Lines(NamedTuple):
    """What is done for one step; ``missing`` instead where its ``parent`` is not there.

    ``parent`` is the variable that holds it, or None if the lines look for themselves.
    """

    parent: str | None
    found: str
    missing: str = ""


def compile_plan(steps: Sequence[Step], fields: Mapping[str, Field], long_way: _Build) -> _Build:
    """A function that answers as ``long_way``, which does all ``steps`` one by one."""
    writer = _Writer(steps, fields)
    source = writer.write()
    names = {**_NAMES, "long_way": long_way, **writer.names}
    exec(_code(source), names)  # noqa: S102 - see the module's docstring
    build: _Build = names["build"]
    build.__doc__ = source
    return build


@lru_cache(maxsize=128)
def _code(source: str) -> CodeType:
    # `streams explain` may be given the same subscriptions with each of its events.
    return compile(source, "<mapping>", "exec")


class _Writer:
    """Writes the source of one function. ``names`` are the objects that only this one needs."""

    def __init__(self, steps: Sequence[Step], fields: Mapping[str, Field]) -> None:
        self.names: dict[str, Any] = {}
        self._steps = steps
        self._fields = fields
        self._parts = {part: f"part{index}" for index, part in enumerate(parts_of(fields))}
        parents = dict.fromkeys(p[0] for step in steps for p in _paths(step) if len(p) > 1)
        self._parents = {key: f"in{index}" for index, key in enumerate(parents)}

    def write(self) -> str:
        """The source of ``build(event)``."""
        parts = "".join(f"{variable} = {{}}\n" for variable in self._parts.values())
        parents = "".join(_PARENT.format(name=n, key=k) for k, n in self._parents.items())
        steps = _join(map(self._step, self._steps))
        mapped = {step.name for step in self._steps}
        if any(field.required and name not in mapped for name, field in self._fields.items()):
            steps += "raise Unusual\n"
        ends = "".join(f"payload[{part!r}] = {name}\n" for part, name in self._parts.items())
        return _FUNCTION.format(
            parts=indent(parts, " " * 4), body=indent(parents + steps + ends, " " * 8)
        )

    def _step(self, step: Step) -> _Lines:
        holder = "payload" if step.field.within is None else self._parts[step.field.within]
        place = f"{holder}[{step.name!r}]"
        text = fixed_text(step.mapping)
        if text and step.accepted is str:
            return _Lines(None, f"{place} = {text!r}\n")
        members = _members(step)
        if members is not None:
            parent, value = self._path(members.parent)
            return _Lines(parent, value + members.lines(place), f"{place} = {{}}\n")
        take, missing = self._take(step, holder, place)
        paths = _paths(step)
        if len(paths) == 1:
            parent, value = self._path(paths[0])
            return _Lines(parent, value + take, missing)
        if paths:
            return _Lines(None, self._first(paths) + take)
        # A closure may answer undefined; what is looked up here is JSON.
        resolve = self._name("resolve", step.resolve)
        value = f"value = {resolve}(event)\nif value is UNDEFINED:\n    value = None\n"
        return _Lines(None, value + take)

    def _take(self, step: Step, holder: str, place: str) -> tuple[str, str]:
        """Lines that put ``value`` where it belongs, and those for when there is none."""
        check = self._name("check", step.check)
        if not step.field.required:
            return _TAKE[step.accepted].format(place=place, check=check), ""
        if step.accepted is str:
            return _TAKE_REQUIRED.format(place=place, check=check), "raise Unusual\n"
        take = _TAKE[step.accepted].format(place=place, check=check)
        return take + f"if {step.name!r} not in {holder}:\n    raise Unusual\n", "raise Unusual\n"

    def _first(self, paths: Sequence[Sequence[str]]) -> str:
        """Lines that set ``value`` to the first thing that there is at one of ``paths``."""
        parent, lines = self._path(paths[0])
        if parent:
            lines = f"value = None\nif {parent}:\n" + indent(lines, " " * 4)
        for keys in paths[1:]:
            parent, value = self._path(keys)
            also = f" and {parent}" if parent else ""
            lines += f"if value is None{also}:\n" + indent(value, " " * 4)
        return lines

    def _path(self, keys: Sequence[str]) -> tuple[str | None, str]:
        """The variable of the outermost parent, and lines that set ``value`` to what is there."""
        first, *rest = keys
        if not rest:
            return None, f"value = {self._parents.get(first) or f'event.get({first!r})'}\n"
        second, *rest = rest
        parent = self._parents[first]
        lines = f"value = {parent}.get({second!r})\n"
        return parent, lines + "".join(_DEEPER.format(key=key) for key in rest)

    def _name(self, prefix: str, value: Any) -> str:
        name = f"{prefix}{len(self.names)}"
        self.names[name] = value
        return name


def _join(steps: Iterable[_Lines]) -> str:
    """The lines of all steps, with one question after the parent for neighbours that share it."""
    lines = ""
    for parent, group in groupby(steps, lambda step: step.parent):
        neighbours = list(group)
        found = "".join(step.found for step in neighbours)
        missing = "".join(step.missing for step in neighbours)
        if parent is None:
            lines += found
        else:
            lines += f"if {parent}:\n" + indent(found, " " * 4)
            lines += "else:\n" + indent(missing, " " * 4) if missing else ""
    return lines


def _paths(step: Step) -> Sequence[Sequence[str]]:
    """Where the value of a step is: at the first of these where there is something."""
    members = _members(step)
    return alternative_paths(step.mapping) if members is None else [members.parent]


class _Members(NamedTuple):
    """An object of texts from one place: their names in it, and their keys there."""

    parent: Sequence[str]
    entries: Sequence[tuple[str, str]]

    def lines(self, place: str) -> str:
        """Lines that take those of ``value`` that are there."""
        texts = "".join(_MEMBER.format(name=name, key=key) for name, key in self.entries)
        inner = indent(_OBJECT + texts, " " * 4)
        return "found = {}\nif value is not None:\n" + inner + f"{place} = found\n"


def _members(step: Step) -> _Members | None:
    properties = step.field.properties
    if step.mapping is None or not properties or step.field.multiple:
        return None
    if any(field.required or accepted_type(field) is not str for field in properties.values()):
        return None
    siblings = sibling_paths(step.mapping)
    if siblings is None or not siblings[0]:
        return None
    parent, entries = siblings
    return _Members(parent, [entry for entry in entries if entry[0] in properties])
