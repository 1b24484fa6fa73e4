from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest

from streams.errors import PayloadError
from streams.mapping.javascript import (
    UNDEFINED,
    Function,
    is_loosely_empty,
    is_truthy,
    number_to_string,
    stringify,
    to_number,
    to_string,
    type_name,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (5.0, "5"),
        (-1.5, "-1.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (123456.789, "123456.789"),
        (1e-6, "0.000001"),
        (1.5e-6, "0.0000015"),
        (1e-7, "1e-7"),
        (-1.25e-9, "-1.25e-9"),
        (1e16, "10000000000000000"),
        (1.5e20, "150000000000000000000"),
        (1e21, "1e+21"),
        (1.234e30, "1.234e+30"),
        (2**53, "9007199254740992"),
        (2**53 + 1, "9007199254740992"),
        (-(2**60), "-1152921504606847000"),
        (10**400, "Infinity"),
        (-(10**400), "-Infinity"),
        (math.inf, "Infinity"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_are_written_as_javascript_does(number: float, text: str) -> None:
    assert number_to_string(number) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (UNDEFINED, "undefined"),
        ({"a": 1}, "[object Object]"),
        ([], ""),
        ([[]], ""),
        ([[], []], ","),
        ([1, None, "b", {}, True], "1,,b,[object Object],true"),
        ([1, [2, [3, UNDEFINED]], []], "1,2,3,,"),
    ],
)
def test_values_are_written_as_javascript_does(value: Any, text: str) -> None:
    assert to_string(value) == text


def test_deep_arrays_do_not_exhaust_the_stack() -> None:
    value: list[Any] = ["x"]
    for _ in range(100_000):
        value = [value]
    assert to_string(value) == "x"


@pytest.mark.parametrize("value", [None, UNDEFINED, 0, 0.0, False, "", math.nan])
def test_falsy(value: Any) -> None:
    assert not is_truthy(value)


@pytest.mark.parametrize("value", [[], {}, "0", -1, True, [0]])
def test_truthy(value: Any) -> None:
    assert is_truthy(value)


@pytest.mark.parametrize("value", ["", 0, 0.0, False, [], [[]], [None], [""]])
def test_loosely_empty(value: Any) -> None:
    assert is_loosely_empty(value)


@pytest.mark.parametrize("value", [" ", "0", 1, True, {}, [0], [[], []]])
def test_not_loosely_empty(value: Any) -> None:
    assert not is_loosely_empty(value)


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 0), (" \n\ufeff", 0), ("12", 12), (" 1.5e2 ", 150), (".5", 0.5), ("5.", 5), ("0x1F", 31)],
)
def test_numbers_in_text(text: str, number: float) -> None:
    assert to_number(text) == number


@pytest.mark.parametrize("text", ["a", "1,5", "1_000", "--1", "٣", "nan", "inf"])
def test_text_that_is_no_number(text: str) -> None:
    assert math.isnan(to_number(text))


def test_infinity_in_text() -> None:
    assert to_number("-Infinity") == -math.inf


def test_undefined_stays_itself_when_copied() -> None:
    assert copy.deepcopy(UNDEFINED) is UNDEFINED
    assert pickle.loads(pickle.dumps(UNDEFINED)) is UNDEFINED


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (UNDEFINED, "undefined"),
        (None, "null"),
        (True, "boolean"),
        (1, "number"),
        (1.5, "number"),
        ("", "string"),
        ([], "array"),
        ({}, "object"),
    ],
)
def test_type_names(value: Any, name: str) -> None:
    assert type_name(value) == name


def test_an_object_that_cannot_become_text() -> None:
    with pytest.raises(PayloadError, match="toString"):
        to_string([{"toString": 1}])


def test_functions() -> None:
    assert to_string(Function("search")) == "function search() { [native code] }"
    assert type_name(Function("search")) == "function"
    assert stringify({"a": Function("x"), "b": [Function("x"), UNDEFINED]}) == '{"b":[null,null]}'
