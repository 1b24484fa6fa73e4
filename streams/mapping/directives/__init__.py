"""The directives of Segment's mapping kit.

One file each, and one line in :data:`DIRECTIVES`. What they do is described in
`packages/core/src/mapping-kit/README.md` of segmentio/action-destinations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streams.mapping.directives.if_ import compile_if
from streams.mapping.directives.literal import compile_literal
from streams.mapping.directives.path import compile_path_directive
from streams.mapping.directives.template import compile_template
from streams.mapping.scope import Directive

DIRECTIVES: Final[Mapping[str, Directive]] = {
    "@if": compile_if,
    "@literal": compile_literal,
    "@path": compile_path_directive,
    "@template": compile_template,
}
