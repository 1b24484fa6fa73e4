"""Encharge's two hosts as requests.

The REST API takes the API key, the Ingest API the write key, which according to Encharge's
documentation on Postman is another one; both go into ``X-Encharge-Token``. The other headers
are those of the Encharge destination in segmentio/action-destinations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.destinations.base import Request


class Api:
    """Makes requests; sends none. ``api_url`` is without a version, ``ingest_url`` whole.

    All requests to one host share their headers.
    """

    __slots__ = ("_api_headers", "_api_url", "_ingest_headers", "_ingest_url")

    def __init__(self, *, api_key: str, write_key: str, api_url: str, ingest_url: str) -> None:
        self._api_url = api_url.rstrip("/")
        self._ingest_url = ingest_url
        self._api_headers = _headers(api_key)
        self._ingest_headers = _headers(write_key)

    def ingest(self, body: Any) -> Request:
        """An event for the Ingest API, which has one endpoint."""
        return Request("POST", self._ingest_url, self._ingest_headers, body)

    def rest(self, method: str, path: str, body: Any = None) -> Request:
        """A call of the REST API; ``path`` begins with the version, such as ``/v1/tags``."""
        return Request(method, self._api_url + path, self._api_headers, body)


def _headers(token: str) -> Mapping[str, str]:
    return {
        "X-Encharge-Token": token,
        "Content-Type": "application/json",
        "X-Segment-Actions": "1",
    }
