"""Events of one person, made at random, and the people that they leave behind."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from streams.dev.encharge.state import StandIn

EMAILS = st.sampled_from(["1@example.com", "2@example.com"])
COMMON = {
    "plan": st.sampled_from(["free", "pro", None]),
    "city": st.sampled_from(["Sofia", {"name": "Berlin"}]),
    "email": EMAILS,
    "tags": st.sampled_from(["one", "two,three"]),
}
ODD = {
    "email": st.sampled_from(["", None, 7, ["list"], {"a": 1}]),
    "tags": st.sampled_from([["list"], None]),
    "ip": st.just("203.0.113.7"),
    # Traits that have the names of ids.
    "userId": st.sampled_from(["u1", "u3"]),
    "segmentAnonymousId": st.sampled_from(["a1", "a3"]),
    "id": st.sampled_from(["x", "y"]),
}
# Few at a time: most neighbours shall be alike enough to be merged.
TRAITS = st.builds(
    lambda common, odd: {**common, **odd},
    st.fixed_dictionaries({}, optional=COMMON),
    st.just({}) | st.just({}) | st.fixed_dictionaries({}, optional=ODD),
)
TAGS = st.sampled_from(["red", "red", "blue", "red,blue", " blue , red", "not/allowed"])


def event(kind: str, ids: tuple[str | None, str | None], traits: Any, email: Any, tag: str) -> Any:
    user, device = ids
    made: dict[str, Any] = {
        **({} if user is None else {"userId": user}),
        **({} if device is None else {"anonymousId": device}),
        **({} if email is None else {"email": email}),
    }
    if kind == "identify":
        return {"type": kind, "traits": traits, **made}
    return {"type": "track", "event": kind, "properties": {"tag": tag}, **made}


def events(*kinds: str) -> st.SearchStrategy[Any]:
    """One event of one of these kinds: identify, or the name of a track."""
    return st.builds(
        event,
        st.sampled_from(kinds),
        st.sampled_from(
            [
                *[("u1", "a1")] * 4,
                ("u1", None),
                (None, "a1"),
                ("u2", "a1"),
                ("u1", "a2"),
                (None, None),
            ]
        ),
        TRAITS,
        st.none() | st.none() | st.none() | EMAILS,
        TAGS,
    )


def people(state: StandIn) -> list[dict[str, Any]]:
    """Everybody, but for ids that Encharge makes up, and for the order of what has none."""
    found = []
    for person in state.people:
        shown = person.as_json()
        del shown["id"], shown["calls"]
        for unordered in ("anonymousIds", "tags", "formerUserIds"):
            shown[unordered] = sorted(shown[unordered])
        found.append(shown)
    return sorted(found, key=repr)
