"""The numbers in docs/delivery.md are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import streams
from streams.delivery import bulk, circuit, limit, retry
from streams.settings import Settings

DOCS = (Path(streams.__file__).parents[1] / "docs/delivery.md").read_text()
FLAT = " ".join(DOCS.split())


@pytest.mark.parametrize(
    "said",
    [
        f"a random share of {retry.BASE_SECONDS:g} s · 2^(*n*-1), at most {retry.CAP_SECONDS:g} s",
        f"about {circuit.BASE_SECONDS:g} s, then {2 * circuit.BASE_SECONDS:g}, "
        f"{4 * circuit.BASE_SECONDS:g} and so on up to {circuit.CAP_SECONDS:g} s",
        f"nobody is called for {limit.REST_SECONDS:g} s, then {2 * limit.REST_SECONDS:g} s and so "
        f"on up to {limit.MAX_REST_SECONDS:g} s",
        f"are gathered for {bulk.GATHER_SECONDS * 1000:g} ms",
    ],
)
def test_the_numbers_are_those_of_the_code(said: str) -> None:
    assert said in FLAT


def test_every_setting_that_is_named_exists() -> None:
    named = set(re.findall(r"STREAMS_[A-Z_]+", DOCS))
    assert named <= {name.upper() for name in Settings.model_fields}
    assert "STREAMS_PEOPLE_BULK" in named
