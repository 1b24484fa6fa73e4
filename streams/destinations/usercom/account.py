"""What all actions share: the API, what is known of the account, and talks that many need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from streams.destinations.base import Request
from streams.destinations.conversation import Reply, Step
from streams.destinations.usercom.api import Api
from streams.destinations.usercom.convert import convert
from streams.destinations.usercom.definitions import EVENT, MAX_NAME, STRING, Definitions
from streams.destinations.usercom.recent import Recent
from streams.errors import EventError

REMEMBERED: Final = 100_000
"""Of people and of companies each."""

MAX_PAGES: Final = 100
"""Of a list; there are up to 100 entries on one."""

_UNKNOWN: Final = frozenset({404})
_WRONG: Final = frozenset({400})
_NOT_LISTED: Final = frozenset({400, 404, 405})
_NOT_DEFINED: Final = frozenset({400, 405, 409, 422})

Part: TypeAlias = Generator[Step, Reply, Any]
"""A part of a talk, which gives what was found out."""

Ignored: TypeAlias = Counter[str]
"""How many values were left out, by reason."""


@dataclass(slots=True)
class Account:
    """The account of a destination. Its memory is bounded and only saves calls."""

    api: Api
    definitions: Definitions
    ids: Recent[str, int] = field(default_factory=lambda: Recent(REMEMBERED))
    """People's ids at User.com, by ours."""
    companies: Recent[str, int] = field(default_factory=lambda: Recent(REMEMBERED))
    """Companies' ids at User.com, by ours."""

    def forget(self, custom_id: str) -> None:
        """A person is not, or no longer, who was remembered."""
        self.ids.forget(custom_id)


def person_call(
    account: Account,
    custom_id: str,
    request: Request,
    *,
    accepts: frozenset[int] = frozenset(),
) -> Part:
    """A call about a person, who is created if there is none. Gives the reply.

    ``accepts`` holds for the call when there surely is such a person.
    """
    reply = yield Step(request, _UNKNOWN)
    if reply.status == 404:
        account.forget(custom_id)
        yield from create_person(account, custom_id)
        reply = yield Step(request, accepts)
    return reply


def create_person(account: Account, custom_id: str) -> Part:
    """Make sure that there is a person. Gives its id at User.com."""
    request = account.api.upsert_person(custom_id)
    reply = yield Step(request, presumed={"id": f"<id of {custom_id}>"})
    return remember_person(account, custom_id, reply)


def remember_person(account: Account, custom_id: str, reply: Reply) -> int:
    """The id at User.com that an answer tells."""
    found = id_of(reply, "person")
    account.ids.put(custom_id, found)
    return found


def id_of(reply: Reply, what: str) -> int:
    """The id in an answer. Raises ``EventError`` if there is none."""
    found: int | None = reply.data.get("id") if isinstance(reply.data, dict) else None
    if not found:
        raise EventError("rejected", f"user.com answered {reply.status} without the id of a {what}")
    return found


# -- custom attributes


def send_with_attributes(
    account: Account,
    of: str,
    traits: Mapping[str, Any],
    make: Callable[[dict[str, Any]], Request],
    ignored: Ignored,
    *,
    accepts: frozenset[int] = frozenset(),
    presumed: Any = None,
) -> Part:
    """Make a call with traits as custom attributes of their defined types. Gives the reply.

    If it is refused by a definition that has changed meanwhile, it is made once more.
    """
    attributes, left_out = yield from _attributes(account, of, traits)
    request = make(attributes)
    reply = yield Step(request, accepts | _WRONG if attributes else accepts, presumed)
    if reply.status == 400 and attributes:
        yield from read_definitions(account)
        attributes, left_out = yield from _attributes(account, of, traits)
        reply = yield Step(make(attributes), accepts, presumed)
    ignored.update(left_out)
    return reply


def _attributes(account: Account, of: str, traits: Mapping[str, Any]) -> Part:
    """Traits as custom attributes, and what is left out. What is not defined is defined first."""
    if any(value is not None for value in traits.values()) and account.definitions.is_due():
        yield from read_definitions(account)
    for name, value in traits.items():
        if value is not None and _may_define(account, of, name):
            yield from _define(account, of, name)
    return converted(account.definitions, of, traits)


def converted(
    definitions: Definitions, of: str, traits: Mapping[str, Any]
) -> tuple[dict[str, Any], Ignored]:
    """Traits by the definitions that there are, and what is left out."""
    found: dict[str, Any] = {}
    ignored: Ignored = Counter()
    for name, value in traits.items():
        definition = definitions.get(of, name)
        if value is None:
            continue
        if definition is None:
            ignored["not-defined"] += 1
            continue
        result = convert(value, definition.kind, definition.choices)
        if result is None:
            ignored[f"not-{definition.kind}"] += 1
        else:
            found[name] = result
    return found, ignored


def event_data(account: Account, properties: Mapping[str, Any], ignored: Ignored) -> Part:
    """An event's properties by their definitions. User.com makes new ones with the event."""
    given = {name: value for name, value in properties.items() if value is not None}
    if given and account.definitions.is_due():
        yield from read_definitions(account)
    data: dict[str, Any] = {}
    for name, value in given.items():
        definition = account.definitions.get(EVENT, name) or STRING
        data[name] = convert(value, definition.kind, definition.choices)
        if data[name] is None:
            del data[name]
            ignored[f"not-{definition.kind}"] += 1
    return data


def _may_define(account: Account, of: str, name: str) -> bool:
    return (
        account.definitions.get(of, name) is None
        and 0 < len(name) <= MAX_NAME
        and not account.definitions.is_refused(of, name)
    )


def _define(account: Account, of: str, name: str) -> Part:
    body = {"content_type": of, "name": name, "value_type": "string"}
    reply = yield Step(account.api.post("attributes/", body), _NOT_DEFINED)
    if reply.status < 300:
        account.definitions.add(of, name, "string")
        return
    # Most likely somebody has just defined it.
    yield from read_definitions(account)
    if account.definitions.get(of, name) is None:
        account.definitions.refuse(of, name)


def read_definitions(account: Account) -> Part:
    """Read the list of definitions. An account that shows none keeps what was known."""
    listed: list[Any] = []
    query = ""
    for _ in range(MAX_PAGES):
        reply = yield Step(account.api.get(f"attributes/{query}"), _NOT_LISTED, {"results": []})
        page = reply.data if isinstance(reply.data, dict) else {"results": reply.data}
        results = page.get("results")
        if reply.status >= 300 or not isinstance(results, list):
            account.definitions.keep()
            return
        listed += results
        following = page.get("next")
        if not isinstance(following, str):
            break
        # Only its query: a key goes to no other host.
        query = f"?{urlsplit(following).query}"
    account.definitions.replace(listed)
