"""Schemas as fastavro takes them: this program's own, and those of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import fastavro
import orjson
from fastavro.schema import fingerprint as fastavro_fingerprint
from fastavro.schema import to_parsing_canonical_form

from streams.errors import SettingsError

Schema = Any
"""A parsed schema: a dict, a list (union) or the name of a primitive type."""

SEGMENT_EVENT: Final = "segment-event"
RESOLVED_EVENT: Final = "resolved-event"

_OWN: Final = Path(__file__).with_name("schemas")


def text_of(kind: str, version: int = 1) -> str:
    """One of this program's own schemas, as it is published."""
    return (_OWN / kind / f"v{version}.avsc").read_text("utf-8")


def parse(text: str, named: dict[str, Schema] | None = None) -> Schema:
    """A schema from its JSON; ``named`` has the types that it refers to.

    Raises whatever fastavro raises for what is none.
    """
    return fastavro.parse_schema(orjson.loads(text), named)


def known(folder: Path | None) -> list[Schema]:
    """Every version of this program's own schemas, and those of the files in a folder.

    Raises ``SettingsError`` when the folder has none, or something else in a file ``*.avsc``.
    """
    own = [parse(path.read_text("utf-8")) for path in sorted(_OWN.glob("*/v*.avsc"))]
    return own if folder is None else own + _of_folder(folder)


def _of_folder(folder: Path) -> list[Schema]:
    found = []
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix == ".avsc":
                found.append(parse(path.read_text("utf-8")))
    except Exception as error:
        where = folder if isinstance(error, OSError) else path
        raise SettingsError(
            f"STREAMS_AVRO_SCHEMAS: {where}: {type(error).__name__}: {error}"
        ) from error
    if not found:
        raise SettingsError(f"STREAMS_AVRO_SCHEMAS: {folder} has no files *.avsc")
    return found


def fingerprint(schema: Schema) -> bytes:
    """CRC-64-AVRO of the parsing canonical form, as single-object encoding has it."""
    canonical = to_parsing_canonical_form(schema)
    return bytes.fromhex(fastavro_fingerprint(canonical, "CRC-64-AVRO"))
