"""The directives of Segment's mapping kit.

One file each, and one line in :data:`DIRECTIVES`. What they do is described in
`packages/core/src/mapping-kit/README.md` of segmentio/action-destinations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streams.mapping.directives.array_path import ARRAY_PATH
from streams.mapping.directives.case import CASE
from streams.mapping.directives.exclude_when_null import EXCLUDE_WHEN_NULL
from streams.mapping.directives.flatten import FLATTEN
from streams.mapping.directives.if_ import IF
from streams.mapping.directives.json_ import JSON
from streams.mapping.directives.liquid import LIQUID
from streams.mapping.directives.literal import LITERAL
from streams.mapping.directives.merge import MERGE
from streams.mapping.directives.path import PATH
from streams.mapping.directives.replace import REPLACE
from streams.mapping.directives.template import TEMPLATE
from streams.mapping.directives.transform import TRANSFORM
from streams.mapping.scope import Directive

DIRECTIVES: Final[Mapping[str, Directive]] = {
    "@arrayPath": ARRAY_PATH,
    "@case": CASE,
    "@excludeWhenNull": EXCLUDE_WHEN_NULL,
    "@flatten": FLATTEN,
    "@if": IF,
    "@json": JSON,
    "@liquid": LIQUID,
    "@literal": LITERAL,
    "@merge": MERGE,
    "@path": PATH,
    "@replace": REPLACE,
    "@template": TEMPLATE,
    "@transform": TRANSFORM,
}
