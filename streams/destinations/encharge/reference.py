"""The page about the actions, made from the actions themselves.

``python -m streams.destinations.encharge.reference`` writes it; docs/actions.md is what it wrote.
"""

from __future__ import annotations

import sys
from typing import Final

from streams.destinations.encharge.actions import ACTIONS
from streams.destinations.encharge.presets import PRESETS
from streams.destinations.reference import sections

_HEAD: Final = """\
# Actions

What Encharge can be asked to do, with the fields that a [mapping](mappings.md) fills. This page is
made from the code: `python -m streams.destinations.encharge.reference > docs/actions.md`.

Fields with a star are required. The preset's mapping is what a new destination starts with; the
preset's [trigger](triggers.md) fires the action.
"""

_DELETION = """\
## Deletion

Not an action to subscribe to: every event of type `delete`, as Segment's privacy tools send it,
erases a person at Encharge, by userId, else by anonymousId
(`DELETE /v1/people?people[0][userId]=...`), and in this program's own tables
([what a deletion forgets](architecture.md#what-a-deletion-forgets)). An id with `#`, `%`, `&` or
`+` is written so that it means itself; Segment leaves these as they are, and so asks for another
person.
"""


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *sections(ACTIONS.values(), PRESETS), _DELETION])


if __name__ == "__main__":
    sys.stdout.write(reference())
