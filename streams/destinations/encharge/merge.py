"""Two adjacent requests of one person as one: of two identifies, or of two words on a tag."""

from __future__ import annotations

from typing import Any

from streams.destinations.base import Request

_WHO = ("userId", "segmentAnonymousId")


def merge(earlier: Request, later: Request) -> Request | None:
    """The one request that leaves a person as these two would, or None."""
    first, second = earlier.body, later.body
    if type(first) is not dict or type(second) is not dict:
        return None
    if "tag" in second and "tag" in first:
        return later if _is_settled(earlier, later) else None
    return _identifies(earlier, later)


def _identifies(earlier: Request, later: Request) -> Request | None:
    """Two identifies as one.

    Encharge upserts a person field by field (docs, Ingest API), so of two identifies that
    surely reach the same person only the last word on each field counts. "Surely": the same
    userId and anonymous id, and no second email; an email can itself select a person.
    """
    first, second = earlier.body, later.body
    if not (_is_identify(earlier) and _is_identify(later) and earlier.url == later.url):
        return None
    if any(first.get(name) != second.get(name) for name in _WHO):
        return None
    # Traits may have the names of ids, and then count as such.
    if any(first["user"].get(name) != second["user"].get(name) for name in (*_WHO, "id")):
        return None
    # A list: a trait called email may be anything.
    places = (first, second, first["user"], second["user"])
    emails = [place["email"] for place in places if place.get("email") is not None]
    if any(email != emails[0] for email in emails):
        return None
    if "tags" in first["user"] or "tags" in second["user"]:
        # Tags add up in Encharge: the later list does not replace the earlier one.
        return None
    body: dict[str, Any] = {**first, **second}
    body["user"] = {**first["user"], **second["user"]}
    if "context" in first and "context" in second:
        body["context"] = {**first["context"], **second["context"]}
    return Request(later.method, later.url, later.headers, body)


def _is_identify(request: Request) -> bool:
    body = request.body
    return (
        request.method == "POST"
        and body.get("type") == "identify"
        and isinstance(body.get("user"), dict)
        and body.get("userId") is not None
    )


def _is_settled(earlier: Request, later: Request) -> bool:
    """Whether the later of two tag calls has the last word on every tag of the earlier.

    A person has a tag or has it not, whatever was said of it before (docs, REST API).
    """
    first, second = dict(earlier.body), dict(later.body)
    tags = [{tag.strip() for tag in body.pop("tag").split(",")} - {""} for body in (first, second)]
    # What is left are the ids. The call is the same, tagging by POST and untagging by DELETE.
    return earlier.url == later.url and first == second and tags[0] <= tags[1]
