"""Who an event belongs to, read as a specification of guarantee G3."""

from __future__ import annotations

from typing import Any

import orjson

from streams.identity.rules import MAX_CHAIN, Identities, event_email


class Partition:
    """A partition's tables, and events that come in one after the other."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.position = 0

    def identities(self, horizon: int = -1) -> Identities:
        """The identities as the tables have them."""
        identities = Identities(self.rows.get, self._scan)
        identities.horizon = horizon
        return identities

    def _scan(self, prefix: bytes) -> list[bytes]:
        return [key for key in self.rows if key.startswith(prefix)]

    def take(self, *events: dict[str, Any], horizon: int = -1) -> list[dict[str, Any]]:
        """Resolve a chunk of events, as the resolve stage does."""
        identities = self.identities(horizon)
        for event in events:
            self.position += 1
            identities.resolve(event, self.position)
        for key, row in identities.take_writes().items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        return list(events)

    def users(self, *events: dict[str, Any]) -> list[str | None]:
        return [event.get("userId") for event in self.take(*events)]

    def row(self, key: bytes) -> Any:
        return orjson.loads(self.rows[key])


def page(device: str | None = None, user: str | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "type": "page",
        **({"anonymousId": device} if device is not None else {}),
        **({"userId": user} if user is not None else {}),
        **fields,
    }


def identify(device: str | None, user: str | None, email: str | None = None) -> dict[str, Any]:
    traits = {} if email is None else {"email": email}
    return {**page(device, user), "type": "identify", "traits": traits}


def alias(old: str, new: str, device: str | None = None) -> dict[str, Any]:
    return {**page(device, new), "type": "alias", "previousId": old}


def email_of(event: dict[str, Any]) -> str | None:
    return event_email(event)


def test_a_device_belongs_to_who_logged_in_last() -> None:
    assert Partition().users(
        page("pc"), identify("pc", "u1"), page("pc"), page("pc", "u2"), page("pc"), page("other")
    ) == [None, "u1", "u1", "u2", "u2", None]


def test_what_came_before_the_login_stays_anonymous() -> None:
    before, *_ = Partition().take(page("pc"), identify("pc", "u", "u@example.com"))
    assert before == page("pc")


def test_an_email_is_known_with_the_user_and_not_with_the_next_one() -> None:
    events = Partition().take(
        identify("pc", "u1", "1@example.com"),
        page("pc"),
        page("pc", "u2"),
        page("pc"),
        identify("pc", "u2", "2@example.com"),
        page("pc"),
    )
    assert [email_of(events[n]) for n in (1, 3, 5)] == ["1@example.com", None, "2@example.com"]


def test_an_email_without_a_login_is_known_too() -> None:
    _, later = Partition().take(identify("pc", None, "a@example.com"), page("pc"))
    assert (later.get("userId"), email_of(later)) == (None, "a@example.com")


def test_an_email_counts_from_an_identify_s_traits_or_any_event_s_context() -> None:
    context = {"traits": {"email": "c@example.com"}}
    _, by_context = Partition().take(page("pc", "u", context=context), page("pc"))
    assert email_of(by_context) == "c@example.com"
    # A group's traits are the group's.
    group = {**page("pc", "u"), "type": "group", "traits": {"email": "office@example.com"}}
    _, after_group = Partition().take(group, page("pc"))
    assert email_of(after_group) is None


def test_what_is_no_email_is_not_taken_for_one() -> None:
    for value in ("", None, 7, ["x@example.com"], {"a": 1}):
        event = {**page("pc", "u"), "type": "identify", "traits": {"email": value}}
        assert event_email(event) is None
    assert event_email(page("pc", context="x")) is None
    assert event_email(page("pc", context={"traits": "x"})) is None


def test_nothing_that_an_event_says_is_overwritten() -> None:
    partition = Partition()
    partition.take(identify("pc", "u", "u@example.com"))
    context = {"ip": "1", "traits": {"plan": "pro", "email": "own@example.com"}}
    [event] = partition.take(page("pc", context=context, properties={"email": "p@example.com"}))
    assert event == page("pc", "u", context=context, properties={"email": "p@example.com"})
    [odd] = partition.take(page("pc", context={"traits": {"email": 7}}))
    assert odd["context"] == {"traits": {"email": 7}}
    [worse] = partition.take(page("pc", context={"traits": "text"}))
    assert worse["context"] == {"traits": "text"}


def test_what_an_event_shares_with_others_is_not_changed_in_place() -> None:
    partition = Partition()
    partition.take(identify("pc", "u", "u@example.com"))
    shared = {"traits": {"plan": "pro"}}
    [event] = partition.take(page("pc", context=shared))
    assert event["context"] == {"traits": {"plan": "pro", "email": "u@example.com"}}
    assert shared == {"traits": {"plan": "pro"}}


def test_aliases_are_followed_through_chains_from_where_they_happened() -> None:
    assert Partition().users(
        page("d", "u1"),
        alias("u1", "u2"),
        page("d"),
        page(None, "u1"),
        alias("u2", "u3"),
        page("d"),
        page(None, "u1"),
        page(None, "u2"),
        page(None, "u3"),
    ) == ["u1", "u2", "u2", "u2", "u3", "u3", "u3", "u3", "u3"]


def test_an_alias_of_a_device_is_a_login() -> None:
    assert Partition().users(
        page("d"), alias("d", "u"), page("d"), page("d", "later"), page("d")
    ) == [None, "u", "u", "later", "later"]


def test_an_alias_of_a_device_does_not_lend_one_user_s_email_to_another() -> None:
    partition = Partition()
    partition.take(identify("d", "u1", "1@example.com"), alias("d", "u2"))
    [event] = partition.take(page("d"))
    assert (event["userId"], email_of(event)) == ("u2", None)


def test_an_alias_of_a_device_keeps_the_email_that_is_of_the_same_person() -> None:
    before_login, former_id = Partition(), Partition()
    before_login.take(identify("d", None, "1@example.com"), alias("d", "u1"))
    former_id.take(identify("d", "u1", "1@example.com"), alias("u1", "u2"), alias("d", "u2"))
    for partition, user in ((before_login, "u1"), (former_id, "u2")):
        [event] = partition.take(page("d"))
        assert (event["userId"], email_of(event)) == (user, "1@example.com")


def test_an_email_alone_does_not_undo_an_alias_of_a_device() -> None:
    partition = Partition()
    assert partition.users(
        page("d", "u1"), alias("d", "u2"), identify("d", None, "x@example.com"), page("d")
    ) == ["u1", "u2", "u2", "u2"]
    assert partition.users(alias("e", "u"), identify("e", None, "x@example.com"))[1] == "u"


def test_a_login_after_an_alias_of_a_device_counts_also_when_it_is_the_former_user() -> None:
    assert Partition().users(
        page("d", "u1"), alias("d", "u2"), page("d"), page("d", "u1"), page("d")
    ) == ["u1", "u2", "u2", "u1", "u1"]


def test_an_alias_and_a_deletion_speak_about_ids_and_stay_as_they_are() -> None:
    partition = Partition()
    partition.take(alias("u1", "u2"))
    again = alias("u0", "u1")
    deletion = {**page(None, "u1"), "type": "delete"}
    assert partition.take(dict(again), dict(deletion)) == [again, deletion]


def test_an_alias_to_itself_changes_nothing() -> None:
    partition = Partition()
    partition.take(alias("u", "u"))
    assert not partition.rows
    assert partition.users(page(None, "u")) == ["u"]


def test_an_alias_without_one_of_its_ids_changes_nothing() -> None:
    partition = Partition()
    partition.take(
        {"type": "alias", "userId": "u"}, {"type": "alias", "previousId": "u", "anonymousId": "d"}
    )
    assert not [key for key in partition.rows if key.startswith(b"a:")]


def test_of_a_cycle_the_last_word_counts() -> None:
    assert Partition().users(
        alias("u1", "u2"), alias("u2", "u1"), page(None, "u1"), page(None, "u2")
    ) == ["u2", "u1", "u1", "u1"]
    assert Partition().users(
        alias("a", "b"), alias("b", "c"), alias("c", "a"), *(page(None, u) for u in "abc")
    )[3:] == ["a", "a", "a"]


def test_a_cycle_that_does_not_end_at_the_old_id_is_seen_too() -> None:
    users = Partition().users(
        alias("u1", "u3"),
        alias("u2", "u1"),
        alias("u1", "u2"),
        *(page(None, f"u{n}") for n in (1, 2, 3)),
    )
    assert users[3:] == ["u2", "u2", "u3"]


def test_a_new_alias_replaces_the_old_one() -> None:
    assert Partition().users(alias("u", "v"), alias("u", "w"), page(None, "u"))[2] == "w"


def test_a_very_long_chain_ends() -> None:
    partition = Partition()
    partition.take(*(alias(f"u{n}", f"u{n + 1}") for n in range(2 * MAX_CHAIN)))
    [user] = partition.users(page(None, "u0"))
    assert user == f"u{MAX_CHAIN}"


def test_an_event_that_is_read_again_finds_what_it_found_the_first_time() -> None:
    partition = Partition()
    first = partition.users(page("pc"), page("pc", "u1"), page("pc"), alias("u1", "u2"), page("pc"))
    partition.users(page("pc", "u9"), alias("u2", "u8"))
    partition.position = 0
    again = partition.users(page("pc"), page("pc", "u1"), page("pc"), alias("u1", "u2"), page("pc"))
    assert again == first == [None, "u1", "u1", "u2", "u2"]


def test_an_event_that_teaches_nothing_new_writes_nothing() -> None:
    partition = Partition()
    partition.take(identify("pc", "u", "u@example.com"), alias("o", "u"))
    identities = partition.identities()
    identities.resolve(page("pc", "u"), 50)
    identities.resolve(page("pc"), 51)
    identities.resolve(page(None, "u"), 52)
    identities.resolve(alias("o", "u"), 53)
    assert identities.take_writes() == {}


def test_history_before_the_horizon_is_forgotten_but_for_its_last_word() -> None:
    partition = Partition()
    partition.take(*(page("pc", f"u{n}") for n in range(10)))
    assert len(partition.row(b"d:pc")) == 10
    partition.take(page("pc", "last"), horizon=7)
    # Positions 7 (the last word up to the horizon), 8, 9, 10 and the new one.
    assert [entry[0] for entry in partition.row(b"d:pc")] == [7, 8, 9, 10, 11]


def test_a_row_does_not_grow_while_everything_is_committed() -> None:
    partition = Partition()
    for n in range(50):
        partition.take(page("pc", f"u{n}"), horizon=partition.position)
    assert len(partition.row(b"d:pc")) == 2


def test_ids_may_be_any_text() -> None:
    for name in ("d:x", "a:x", "ü\u2028\x00", " ", "x" * 5000):
        assert Partition().users(page(name, name), page(name)) == [name, name]


def test_an_email_stays_with_its_user_through_an_alias() -> None:
    identities = Partition().identities()
    identities.resolve(
        {
            "type": "identify",
            "anonymousId": "d",
            "userId": "old",
            "traits": {"email": "o@example.com"},
        },
        0,
    )
    identities.resolve({"type": "alias", "previousId": "old", "userId": "new"}, 1)
    identities.resolve({"type": "track", "anonymousId": "d", "userId": "new"}, 2)
    assert identities.owner("d", 3) == ("new", "o@example.com")


# -- forgetting


def delete(user: str | None = None, device: str | None = None) -> dict[str, Any]:
    return {**page(device, user), "type": "delete"}


def test_a_person_who_is_deleted_is_forgotten_on_every_device() -> None:
    partition = Partition()
    partition.take(
        identify("pc", "u", "u@example.com"), identify("phone", "u"), identify("other", "v")
    )
    assert partition.users(delete("u"), page("pc"), page("phone"), page("other")) == [
        "u",
        None,
        None,
        "v",
    ]
    assert set(partition.rows) == {b"d:other", b"u:v\0d:other"}


def test_with_an_id_go_those_that_became_it_and_not_what_it_became() -> None:
    partition = Partition()
    partition.take(
        page("pc", "first"), alias("first", "second"), alias("second", "third"), page("tv", "third")
    )
    after = partition.users(delete("second"), page("pc"), page(None, "first"), page("tv"))
    assert after == ["second", None, "first", "third"]


def test_an_email_from_before_the_login_is_forgotten_too() -> None:
    partition = Partition()
    partition.take(identify("pc", None, "u@example.com"), page("pc", "u"), delete("u"))
    assert partition.rows == {}


def test_on_a_shared_device_the_others_stay_known() -> None:
    partition = Partition()
    partition.take(identify("pc", "u1", "1@example.com"), identify("pc", "u2", "2@example.com"))
    assert partition.users(delete("u1"), page("pc")) == ["u1", "u2"]
    # The one before does not come back in place of the one who is forgotten.
    partition.take(identify("pc", "u3", "3@example.com"))
    assert partition.users(delete("u3"), page("pc")) == ["u3", None]
    assert b"3@example.com" not in partition.rows[b"d:pc"]


def test_a_deletion_by_device_forgets_whoever_is_there() -> None:
    partition = Partition()
    partition.take(identify("pc", "u", "u@example.com"), alias("pc", "u"))
    assert partition.users(delete(device="pc"), page("pc")) == [None, None]
    assert partition.rows == {}


def test_a_deleted_person_who_comes_back_is_known_again() -> None:
    partition = Partition()
    partition.take(identify("pc", "u"), delete("u"))
    assert partition.users(page("pc", "u"), page("pc")) == ["u", "u"]


def test_a_deletion_that_names_the_device_too_does_not_teach_who_is_there() -> None:
    partition = Partition()
    partition.take(delete("u", "pc"))
    assert partition.rows == {}


# -- events that were held up (docs/dead-letters.md)


def late(
    partition: Partition, event: dict[str, Any], *, user: str | None = None, learned: bool = True
) -> dict[str, Any]:
    """Resolve an event that others have overtaken."""
    identities = partition.identities()
    partition.position += 1
    identities.resolve_late(event, partition.position, is_learned=learned, user=user)
    for key, row in identities.take_writes().items():
        if row is None:
            partition.rows.pop(key, None)
        else:
            partition.rows[key] = row
    return event


def test_a_late_event_belongs_to_whom_it_belonged_then_and_teaches_nothing() -> None:
    p = Partition()
    p.take(identify("d", "ann", "a@x.org"), identify("d", "bob", "b@x.org"))
    rows = dict(p.rows)
    assert late(p, page("d"), user="ann") == page("d", "ann"), "and not under bob's email"
    assert late(p, page("d"), user=None) == page("d"), "nobody was logged in then"
    assert late(p, identify("d", "ann", "a@x.org"), user="ann")["userId"] == "ann"
    assert p.rows == rows
    assert p.users(page("d")) == ["bob"]


def test_a_late_event_follows_the_aliases_of_today_and_gets_the_email_of_its_user() -> None:
    p = Partition()
    p.take(identify("d", "old", "o@x.org"), {"type": "alias", "previousId": "old", "userId": "new"})
    event = late(p, page("d"), user="old")
    assert event["userId"] == "new"
    assert event_email(event) == "o@x.org"


def test_a_late_alias_does_not_undo_a_newer_one_but_one_never_heard_of_is_learned() -> None:
    p = Partition()
    alias = {"type": "alias", "previousId": "old", "userId": "new"}
    p.take(alias, {"type": "alias", "previousId": "old", "userId": "newest"})
    rows = dict(p.rows)
    late(p, alias, user="new")
    assert p.rows == rows
    late(p, {"type": "alias", "previousId": "x", "userId": "y", "anonymousId": "d"}, learned=False)
    assert p.users(page(user="x")) == ["y"]


def test_a_late_event_that_was_never_resolved_teaches_only_what_nobody_knows() -> None:
    p = Partition()
    late(p, identify("d", "ann", "a@x.org"), learned=False)
    assert p.users(page("d")) == ["ann"]
    assert late(p, identify("d", "bob"), learned=False)["userId"] == "bob"
    assert p.users(page("d")) == ["ann"], "what is known is newer"
    event = late(p, page("d"), learned=False)
    assert (event["userId"], event_email(event)) == ("ann", "a@x.org")


def test_a_late_deletion_forgets_once_and_not_what_was_learned_since() -> None:
    p = Partition()
    p.take(identify("d", "ann"))
    late(p, {"type": "delete", "userId": "ann"}, learned=False)
    assert p.rows == {}
    p.take(identify("d", "ann"))
    late(p, {"type": "delete", "userId": "ann"}, user="ann")
    assert p.users(page("d")) == ["ann"]
