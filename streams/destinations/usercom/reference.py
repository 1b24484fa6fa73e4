"""The page about User.com: its rules, and its actions as they are.

``python -m streams.destinations.usercom.reference`` writes it; docs/usercom.md is what it wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from streams.destinations.reference import sections
from streams.destinations.usercom.actions import ACTIONS
from streams.destinations.usercom.presets import PRESETS

_RULES: Final = Path(__file__).with_name("rules.md")
"""What a person wrote; the rest of the page is made from the code."""


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([_RULES.read_text(encoding="utf-8"), *sections(ACTIONS.values(), PRESETS)])


if __name__ == "__main__":
    sys.stdout.write(reference())
