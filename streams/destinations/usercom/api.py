"""User.com's public REST API as requests (apidocs.user.com, version 2)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from streams.destinations.base import Request
from streams.errors import PayloadError


class Api:
    """Makes requests; sends none. ``url`` is ``https://<subdomain>.user.com``."""

    __slots__ = ("_base", "_headers")

    def __init__(self, *, key: str, url: str) -> None:
        self._base = f"{url.rstrip('/')}/api/public/"
        self._headers = {
            "Authorization": f"Token {key}",
            "Accept": "*/*; version=2",
            "Content-Type": "application/json",
        }

    def get(self, path: str) -> Request:
        """A question; ``path`` is relative and ends with a slash, or has a query."""
        return Request("GET", self._base + path, self._headers, None)

    def post(self, path: str, body: Any) -> Request:
        """A call that makes something."""
        return Request("POST", self._base + path, self._headers, body)

    def put(self, path: str, body: Any) -> Request:
        """A call that changes something."""
        return Request("PUT", self._base + path, self._headers, body)

    def delete(self, path: str) -> Request:
        """A call that removes something."""
        return Request("DELETE", self._base + path, self._headers, None)

    def upsert_person(self, custom_id: str, **fields: Any) -> Request:
        """Creates or updates the person of an id of ours; answered with User.com's own id."""
        return self.post("users/update_or_create/", {"custom_id": custom_id, **fields})


def of_person(custom_id: str, rest: str = "") -> str:
    """The path of what belongs to the person of an id of ours."""
    return f"users-by-id/{segment(custom_id)}/{rest}"


def segment(custom_id: str) -> str:
    """An id as a part of a path. Raises ``PayloadError`` for one that would lead elsewhere."""
    if custom_id in {".", ".."}:
        raise PayloadError(f"the id {custom_id} cannot be in an address")
    return quote(custom_id, safe="")
