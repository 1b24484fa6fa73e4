"""One call to a destination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Request(NamedTuple):
    """One HTTP call: what ``streams explain`` prints and the sender sends."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Any
