"""What the account defines: person fields, object schemas, and the objects themselves.

Shapes and required keys are those of Encharge's REST description (OpenAPI: IPersonField,
PersonField, CustomObjectSchema, ICustomObjectCreatable). Which fields a fresh account has is
not documented; the few here are the ones that the documented calls use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from streams.dev.standin.refusal import Refusal

_TYPES = ("string", "number", "boolean", "integer", "any")
_FORMATS = (None, "date", "date-time")
_FIELD_KEYS = frozenset(
    {
        "name",
        "title",
        "type",
        "format",
        "displayType",
        "readOnly",
        "tooltip",
        "icon",
        "array",
        "enum",
        "enumNames",
        "allowNewEnumValues",
        "canMapFrom",
        "firstClassField",
        "createdBy",
    }
)
_SCHEMA_KEYS = frozenset(
    {
        "name",
        "description",
        "displayNameSingular",
        "displayNamePlural",
        "primaryField",
        "secondaryFields",
    }
)
_PERSON_FIELDS = (
    "email",
    "userId",
    "name",
    "firstName",
    "lastName",
    "phone",
    "country",
    "timezone",
    "ip",
    "segmentAnonymousId",
)
_COMPANY_FIELDS = (
    "name",
    "description",
    "email",
    "phone",
    "website",
    "industry",
    "employees",
    "plan",
    "address",
    "avatar",
    "createdAt",
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}")


def _definition(name: str, kind: str = "string", created_by: str = "system") -> dict[str, object]:
    return {
        "name": name,
        "title": name,
        "type": kind,
        "format": None,
        "readOnly": False,
        "array": False,
        "canMapFrom": True,
        "firstClassField": created_by == "system",
        "createdBy": created_by,
    }


def _checked_field(given: object) -> dict[str, object]:
    if not isinstance(given, dict):
        raise Refusal(400, "A field must be an object")
    if unknown := sorted(set(given) - _FIELD_KEYS):
        raise Refusal(400, f"Unknown key of a field: {unknown[0]}")
    name = given.get("name")
    if not isinstance(name, str) or not name:
        raise Refusal(400, "A field needs a name")
    kind = given.get("type")
    if kind not in _TYPES:
        raise Refusal(400, f"The type of field {name} must be one of {', '.join(_TYPES)}")
    form = given.get("format")
    if form not in _FORMATS or (form is not None and kind != "string"):
        raise Refusal(400, f"The format of field {name} must be date or date-time, of a string")
    if not isinstance(given.get("array", False), bool):
        raise Refusal(400, f"array of field {name} must be true or false")
    return _definition(name, str(kind), "api") | given


@dataclass(slots=True)
class Schema:
    """A kind of object: its description, and the objects of that kind by external id."""

    about: dict[str, object]
    fields: dict[str, dict[str, object]]
    by_external_id: dict[str, dict[str, object]] = field(default_factory=dict)
    by_id: dict[str, dict[str, object]] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """As ``GET /schemas`` shows it."""
        return {**self.about, "fields": list(self.fields.values()), "associations": []}


class Account:
    """Fields, schemas and objects of the stand-in's one account."""

    def __init__(self) -> None:
        self.fields = {name: _definition(name) for name in _PERSON_FIELDS}
        self.fields["unsubscribed"] = _definition("unsubscribed", "boolean")
        self.schemas = {
            "company": Schema(
                {
                    "name": "company",
                    "displayNameSingular": "Company",
                    "displayNamePlural": "Companies",
                },
                {name: _definition(name) for name in _COMPANY_FIELDS},
            )
        }
        self._last_object = 0

    def note_field(self, name: str, value: object) -> None:
        """A field that a person was given and nobody defined: it exists from now on.

        Encharge creates unknown fields in silence, mistyped ones too (docs.encharge.io, "Ingest
        API"). Guessing its type from the first value is the stand-in's own.
        """
        definition = _definition(name, created_by="ingest")
        sample = value[0] if isinstance(value, list) and value else value
        definition["array"] = isinstance(value, list)
        if isinstance(sample, bool):
            definition["type"] = "boolean"
        elif isinstance(sample, int | float):
            definition["type"] = "number"
        elif isinstance(sample, dict | list) or sample is None:
            definition["type"] = "any"
        elif isinstance(sample, str):
            if _DATE.match(sample):
                definition["format"] = "date"
            elif _DATE_TIME.match(sample):
                definition["format"] = "date-time"
        self.fields[name] = definition

    def create_fields(self, given: object) -> list[dict[str, object]]:
        """Define person fields (``POST /fields``). A known name is described anew."""
        return _add_fields(self.fields, given)

    def create_schema(self, given: object) -> Schema:
        """Define a kind of object (``POST /schemas``).

        Raises:
            Refusal: 400 for a wrong definition or a name in use.
        """
        if not isinstance(given, dict) or set(given) - _SCHEMA_KEYS:
            raise Refusal(400, f"A schema is an object with {', '.join(sorted(_SCHEMA_KEYS))}")
        for key in ("name", "displayNameSingular", "displayNamePlural"):
            if not isinstance(given.get(key), str) or not given[key]:
                raise Refusal(400, f"A schema needs {key}")
        name = given["name"]
        if name in self.schemas:
            raise Refusal(400, f"Object {name} exists already")
        schema = self.schemas[name] = Schema(dict(given), {"name": _definition("name")})
        return schema

    def create_object_fields(self, name: str, given: object) -> list[dict[str, object]]:
        """Define fields of a kind of object (``POST /schemas/{name}/fields``)."""
        return _add_fields(self.schema(name).fields, given)

    def schema(self, name: str) -> Schema:
        """The kind of object called ``name``; it must exist (docs.encharge.io, "Ingest API").

        Raises:
            Refusal: 404 if nobody has defined it.
        """
        if name not in self.schemas:
            raise Refusal(404, f"No such object type: {name}")
        return self.schemas[name]

    def put_object(self, name: str, given: dict[str, object]) -> tuple[dict[str, object], bool]:
        """Create or update an object, found by ``id`` or ``externalId``.

        Fields that the schema lacks are ignored (docs.encharge.io, "Ingest API"). Returns the
        object and whether it is new.

        Raises:
            Refusal: 404 for an unknown schema; 400 without an id ("Must have an id or
                externalId", OpenAPI).
        """
        schema = self.schema(name)
        own_id, external_id = text_id(given.get("id")), text_id(given.get("externalId"))
        if own_id is None and external_id is None:
            raise Refusal(400, "An object must have an id or an externalId")
        stored = schema.by_id.get(own_id) if own_id is not None else None
        if stored is None and external_id is not None:
            stored = schema.by_external_id.get(external_id)
        if created := stored is None:
            self._last_object += 1
            stored = {"id": self._last_object}
            schema.by_id[str(self._last_object)] = stored
        if external_id is not None:
            stored["externalId"] = external_id
            schema.by_external_id[external_id] = stored
        stored.update({key: given[key] for key in given.keys() & schema.fields.keys()})
        return stored, created


def _add_fields(known: dict[str, dict[str, object]], given: object) -> list[dict[str, object]]:
    if not isinstance(given, list):
        raise Refusal(400, "Fields are created by an array of fields")
    added = [_checked_field(item) for item in given]
    for definition in added:
        known[str(definition["name"])] = definition
    return added


def text_id(value: object) -> str | None:
    """An id as text; None for null and empty text.

    Raises:
        Refusal: 400 for an array or an object.
    """
    if type(value) is str:
        return value or None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise Refusal(400, "An identifier must be text or a number")
