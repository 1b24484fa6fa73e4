"""What is in the stand-in's account: people, companies, and the attributes that are defined."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar

from streams.dev.standin.faults import FaultPlan
from streams.dev.standin.log import RequestLog
from streams.dev.standin.refusal import Refusal

CONTENT_TYPES = frozenset({"activity", "clientuser", "company", "deal", "product", "ticket"})
VALUE_TYPES = frozenset(
    {"boolean", "date", "datetime", "fixed", "float", "integer", "json", "string"}
)

_TEXTS = frozenset(
    {
        "email", "first_name", "last_name", "phone_number", "country", "region", "city",
        "user_agent", "os", "device_name", "device_type", "language", "resolution", "ip_address",
        "browser_family", "browser_version", "timezone", "current_url",
    }
)  # fmt: skip
_COMPANY_TEXTS = frozenset({"name", "email", "phone", "description", "address"})


@dataclass(slots=True, eq=False)
class Person:
    """A person; ``fields`` are the profile's, ``attributes`` the custom ones."""

    id: int
    custom_id: str
    fields: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    companies: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Its ``user_key``."""
        return f"key{self.id}"

    def as_json(self) -> dict[str, Any]:
        """The profile as the API shows it."""
        return {
            "id": self.id,
            "custom_id": self.custom_id,
            "user_key": self.key,
            "page_views": 0,
            "last_seen": None,
            **self.fields,
            "attributes": self.attributes,
        }


@dataclass(slots=True, eq=False)
class Company:
    """A company and its members."""

    id: int
    custom_id: str
    fields: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The company as the API shows it."""
        return {
            "id": self.id,
            "custom_id": self.custom_id,
            **self.fields,
            "attributes": self.attributes,
            "members": self.members,
        }


@dataclass(slots=True)
class StandIn:
    """A stand-in's settings and everything that has happened to it.

    ``keys`` are accepted; None accepts any that is not empty.
    """

    title: ClassVar[str] = "User.com"

    keys: frozenset[str] | None = None
    people: dict[str, Person] = field(default_factory=dict)
    companies: dict[str, Company] = field(default_factory=dict)
    attributes: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    faults: FaultPlan = field(default_factory=FaultPlan)
    log: RequestLog = field(default_factory=lambda: RequestLog(1_000_000, 256 * 1024 * 1024))
    last_id: int = 0

    def accepts(self, key: str | None) -> bool:
        """Whether ``key`` opens the account."""
        return bool(key) and (self.keys is None or key in self.keys)

    def counts(self) -> dict[str, object]:
        """What the control API's ``stats`` tells besides."""
        return {
            "people": len(self.people),
            "companies": len(self.companies),
            "attributes": len(self.attributes),
        }

    def summary(self) -> str:
        """What there is, on one line."""
        return "holds     " + ", ".join(f"{count} {what}" for what, count in self.counts().items())

    def reset(self) -> None:
        """Start anew. Keys stay."""
        self.people, self.companies, self.attributes = {}, {}, {}
        self.faults.clear()
        self.log.clear()

    def new_id(self) -> int:
        """An id that nobody has."""
        self.last_id += 1
        return self.last_id

    # -- people

    def upsert(self, custom_id: str) -> tuple[Person, bool]:
        """The person of an id, and whether it is new."""
        person = self.people.get(custom_id)
        if person is not None:
            return person, False
        person = self.people[custom_id] = Person(self.new_id(), custom_id)
        return person, True

    def person(self, custom_id: str) -> Person:
        """The person of an id. Raises ``Refusal`` 404 for nobody."""
        if custom_id not in self.people:
            raise Refusal(404, "Not found.")
        return self.people[custom_id]

    def person_by(self, name: str, value: object) -> Person:
        """The person with this ``id`` or ``key``. Raises ``Refusal`` 404 for nobody."""
        for person in self.people.values():
            if getattr(person, name) == value:
                return person
        raise Refusal(404, "Not found.")

    def merge(self, parent: Person, child: Person) -> None:
        """``child`` becomes a part of ``parent``, whose values win."""
        if parent is child:
            raise Refusal(400, "A user cannot be merged with itself")
        parent.fields = {**child.fields, **parent.fields}
        parent.attributes = {**child.attributes, **parent.attributes}
        parent.events[:0] = child.events
        parent.views[:0] = child.views
        parent.companies += [name for name in child.companies if name not in parent.companies]
        del self.people[child.custom_id]

    # -- fields and attributes

    def write(self, of: str, target: Person | Company, given: dict[str, Any]) -> None:
        """Set fields and custom attributes. Raises ``Refusal`` 400, and sets nothing, if one
        does not fit."""
        check = _person_field if of == "clientuser" else _company_field
        fields: dict[str, Any] = {}
        attributes: dict[str, Any] = {}
        for name, value in given.items():
            if name == "custom_id":
                continue
            if check(name, value):
                fields[name] = value
            else:
                self.check_attribute(of, name, value)
                attributes[name] = value
        target.fields |= fields
        target.attributes |= attributes

    def check_attribute(self, of: str, name: str, value: object) -> None:
        """Raises ``Refusal`` 400 if there is no such attribute, or the value is not of its type."""
        defined = self.attributes.get((of, name))
        if defined is None:
            raise Refusal(400, f"There is no attribute {name}")
        if not fits(value, defined):
            raise Refusal(400, f"{name} is not of type {defined['value_type']}")

    def define(
        self, of: str, name: str, kind: str, choices: list[str] | None = None
    ) -> dict[str, Any]:
        """Define an attribute, whoever asks for it."""
        made = {
            "id": self.new_id(),
            "content_type": of,
            "name": name,
            "name_std": re.sub(r"\W+", "_", name).lower(),
            "value_type": kind,
            **({"choices": choices} if choices is not None else {}),
        }
        self.attributes[of, name] = made
        return made


def fits(value: object, defined: dict[str, Any]) -> bool:
    """Whether a value is of a defined type, in the form that JSON has for it."""
    kind = defined["value_type"]
    if kind == "json":
        return True
    if kind == "fixed":
        values = value if isinstance(value, list) else [value]
        return all(item in defined.get("choices", []) for item in values)
    if kind in ("date", "datetime"):
        return isinstance(value, str) and _is_time(value, kind)
    wanted: tuple[type, ...] = {
        "boolean": (bool,), "integer": (int,), "float": (int, float), "string": (str,),
    }[kind]  # fmt: skip
    return isinstance(value, wanted) and (kind == "boolean" or not isinstance(value, bool))


def kind_of(value: object) -> str:
    """The type that an event's property gets with its first value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "float"
    return "string" if isinstance(value, str) else "json"


def _is_time(value: str, kind: str) -> bool:
    try:
        (date if kind == "date" else datetime).fromisoformat(value)
    except ValueError:
        return False
    return True


def _person_field(name: str, value: object) -> bool:
    """Whether it is a field of the profile. Raises ``Refusal`` for a wrong value."""
    if name in _TEXTS:
        is_name = name in ("first_name", "last_name")
        if not isinstance(value, str) or (is_name and len(value) > 40):
            raise Refusal(400, f"{name} must be text, and a name at most 40 characters")
        return True
    if name == "gender":
        if value not in (1, 2, 3):
            raise Refusal(400, "gender must be 1, 2 or 3")
        return True
    if name == "page_views":
        if type(value) is not int:
            raise Refusal(400, "page_views must be a whole number")
        return True
    if name == "last_seen":
        if not isinstance(value, str) or not _is_time(value, "datetime"):
            raise Refusal(400, "last_seen must be a date and time")
        return True
    return False


def _company_field(name: str, value: object) -> bool:
    if name in _COMPANY_TEXTS:
        if not isinstance(value, str):
            raise Refusal(400, f"{name} must be text")
        return True
    if name == "employees":
        if type(value) is not int:
            raise Refusal(400, "employees must be a whole number")
        return True
    return False
