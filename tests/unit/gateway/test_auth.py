"""Whose request it is."""

from __future__ import annotations

import base64
import hmac

import pytest

from streams.gateway import auth
from streams.gateway.answers import Refusal
from streams.gateway.auth import OPEN, WriteKeys, basic_user, first_key


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize("text", ["key:", "key", "key:password"])
def test_the_key_is_the_user_name_of_basic(text: str) -> None:
    assert basic_user(basic(text)) == b"key"
    assert basic_user(basic(text).replace("Basic", "basic")) == b"key"


@pytest.mark.parametrize("header", [None, "", "Bearer token", "Basic", basic(":"), basic("")])
def test_without_a_user_name_the_body_is_asked(header: str | None) -> None:
    assert basic_user(header) is None


def test_credentials_that_are_no_base64_are_refused() -> None:
    with pytest.raises(Refusal) as caught:
        basic_user("Basic %%%")
    assert (caught.value.status, caught.value.code) == (401, "bad-authorization")


@pytest.mark.parametrize(
    ("setting", "key"),
    [(None, ""), ("", ""), ("k", "k"), ("k:web,l", "k"), (" , k : web", "k"), (",,l:x,k", "l")],
)
def test_the_first_key_is_one_that_is_accepted(setting: str | None, key: str) -> None:
    assert first_key(setting) == key
    if key:
        assert WriteKeys(setting).source_of(key.encode())


def test_every_key_has_its_source() -> None:
    keys = WriteKeys(" k1:web , k2:server,k3:web,, plain ")
    assert [keys.source_of(key) for key in (b"k1", b"k2", b"k3")] == ["web", "server", "web"]
    unnamed = keys.source_of(b"plain")
    assert unnamed.startswith("key-")
    assert "plain" not in unnamed
    assert WriteKeys("plain").source_of(b"plain") == unnamed
    assert keys.names == ["web", "server", unnamed]


@pytest.mark.parametrize("key", [None, b"", b"k", b"k11", b"K1", b"web", b"k1:web"])
def test_another_key_is_refused(key: bytes | None) -> None:
    with pytest.raises(Refusal) as caught:
        WriteKeys("k1:web").source_of(key)
    assert caught.value.status == 401


def test_without_keys_everything_is_refused_unless_open() -> None:
    for key in (None, b"", b"any"):
        with pytest.raises(Refusal) as caught:
            WriteKeys(None).source_of(key)
        assert caught.value.code == "no-write-keys"
        assert WriteKeys(None, is_open=True).source_of(key) == OPEN
    assert WriteKeys("k:web", is_open=True).source_of(b"k") == "web"


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    monkeypatch.setattr(auth.hmac, "compare_digest", compare)
    keys = WriteKeys("k1:a,k2:b,k3:c")
    for key in (b"k1", b"k2", b"a very long key that is none of them"):
        compared.clear()
        if key.startswith(b"k"):
            keys.source_of(key)
        else:
            with pytest.raises(Refusal):
                keys.source_of(key)
        assert len(compared) == 3
        assert {len(side) for pair in compared for side in pair} == {32}


@pytest.mark.parametrize("setting", [":name", "k:a b", "k:" + "x" * 65, "secret:a,secret:b", "k:ü"])
def test_a_wrong_setting_is_told_without_the_key(setting: str) -> None:
    with pytest.raises(ValueError, match="entry") as caught:
        WriteKeys(setting)
    assert "secret" not in str(caught.value)
