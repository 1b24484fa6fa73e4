"""Templates. The answers are LiquidJS's, each of them looked up in the original."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from streams.mapping.liquid import LiquidError, compile_liquid
from streams.mapping.liquid.dates import parse_date

EVENT: dict[str, Any] = {
    "event": "Order Completed",
    "timestamp": "2026-01-31T09:05:07.089Z",
    "n": 5,
    "words": {"limit": 1, "empty": 2, "for": 3, "true": 3},
    "properties": {
        "name": " ada LOVELACE ",
        "price": 19.99,
        "list": [1, "b", None, [2, 3]],
        "products": [{"sku": "s1", "price": 2}, {"sku": "s2", "price": "3"}],
        "yes": True,
        "no": False,
        "null": None,
        "empty": "",
        "first name": "Ada",
        "emoji": "a🙂b",
    },
}


def render(template: str) -> str:
    before = copy.deepcopy(EVENT)
    text = compile_liquid(template)(EVENT)
    assert before == EVENT
    return text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ event }}", "Order Completed"),
        ("{{ properties.price }}{{ properties.yes }}", "19.99true"),
        ("{{ properties.null }}{{ nope.nope }}", ""),
        ("{{ properties.list }}|{{ properties }}", "1b23|[object Object]"),
        ("{{ properties['first name'] }}{{ properties.list[0] }}{{ properties.list[-2] }}", "Ada1"),
        ("{{ properties.list.size }}{{ properties.list.first }}{{ event.size }}", "4115"),
        ("{{ nil }}{{ true }}{{ 1.50 }}{{ 'a\\nb' }}{{ (1..3) }}", "true1.5a\nb123"),
        ("{{ n == 5 }}{{ n > 5 or n < 6 }}", "truetrue"),
        ("a  {{- n -}}  b", "a5b"),
        ("{{ words.limit }}{{ words.empty }}{{ words.true }}", "123"),
        ("{% if words.for == 3 %}y{% endif %}", "y"),
    ],
)  # fmt: skip
def test_output(template: str, text: str) -> None:
    assert render(template) == text


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        ("properties.name | strip | capitalize", "Ada lovelace"),
        ("properties.name | upcase | size", "14"),
        ("event | downcase | replace: ' ', '_'", "order_completed"),
        ("event | replace: '', '-'", "O-r-d-e-r- -C-o-m-p-l-e-t-e-d"),
        ("event | split: 'e' | first", "Ord"),
        ("event | split: 'e' | join", "Ord r Compl t d"),
        ("event | truncate: 8", "Order..."),
        ("properties.emoji | truncate: 2, ''", "a🙂"),
        ("event | truncatewords: 1", "Order..."),
        ("event | slice: 0, 2", "Or"),
        ("event | slice: -3, 2", "te"),
        ("event | remove: 'e' | remove_first: 'O' | remove_last: 'd'", "rdr Complt"),
        ("event | append: '!' | prepend: n", "5Order Completed!"),
        ("properties.price | times: 2 | round: 1", "40"),
        ("1.005 | round: 2", "1.01"),
        ("-2.5 | round", "-3"),
        ("properties.price | plus: 1", "20.99"),
        ("'3' | minus: 'x'", "3"),
        ("n | divided_by: 0", "Infinity"),
        ("n | divided_by: 2", "2.5"),
        ("n | divided_by: 2, true", "2"),
        ("-7 | modulo: 3", "2"),
        ("-7.5 | abs | ceil", "8"),
        ("n | at_most: 3 | at_least: 4", "4"),
        ("properties.nope | plus: properties.nope", "0"),
        ("properties.list | join: '-'", "1-b--2,3"),
        ("properties.list | compact | size", "3"),
        ("properties.products | sum: 'price'", "5"),
        ("properties.products | where: 'sku', 's2' | size", "1"),
        ("properties.nope | default: 'none'", "none"),
        ("properties.no | default: 'none', allow_false: true", "false"),
        ("0 | default: 'none'", "0"),
        ("properties.products | json", '[{"sku":"s1","price":2},{"sku":"s2","price":"3"}]'),
        ("'<a href=\"x\">&</a>' | escape", "&lt;a href=&#34;x&#34;&gt;&amp;&lt;/a&gt;"),
        ("'<p>a</p><script>x</script>b<' | strip_html", "ab<"),
        ("'a b&c/é' | url_encode", "a+b%26c%2F%C3%A9"),
        ("'a+b%26' | url_decode", "a b&"),
        ("'a' | base64_encode | base64_decode", "a"),
        ("'a' | sha256 | slice: 0, 6", "ca9781"),
        ("timestamp | date: '%Y-%m-%d'", "2026-01-31"),
        ("timestamp | date: '%e %b %y %l:%M %P'", "31 Jan 26  9:05 am"),
        ("timestamp | date: '%L %j %q %^a %-m %3N'", "089 031 st SAT 1 089"),
        ("timestamp | date", "Saturday, January 31, 2026 at 9:05 am +0000"),
        ("n | date: '%s'", "5"),
        ("'no date' | date: '%Y'", "no date"),
        ("'Order 5' | date: '%F %Y'", "%F 2001"),
        ("timestamp | date_to_string: 'ordinal', 'US'", "Jan 31st, 2026"),
        ("event | no_such_filter: 5", "Order Completed"),
    ],
)  # fmt: skip
def test_filters(filters: str, text: str) -> None:
    assert render(f"{{{{ {filters} }}}}") == text


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("properties.yes", True),
        ("properties.no", False),
        ("properties.null", False),
        ("properties.empty", True),
        ("n == 5.0", True),
        ("n == '5'", False),
        ("properties.yes == 1", False),
        ("n > '4'", True),
        ("event < 'Z'", True),
        ("properties.null >= 0", True),
        ("nil >= 0", False),
        ("nope == nil", True),
        ("properties.empty == empty", True),
        ("properties.no == blank", True),
        ("event contains 'Comp'", True),
        ("properties.list contains 'b'", True),
        ("properties contains 'name'", False),
        ("not properties.no and properties.yes", True),
        ("properties.yes or properties.no and properties.no", True),
    ],
)
def test_conditions(condition: str, holds: bool) -> None:
    assert render(f"{{% if {condition} %}}yes{{% else %}}no{{% endif %}}") == (
        "yes" if holds else "no"
    )
    assert render(f"{{% unless {condition} %}}no{{% endunless %}}") == ("" if holds else "no")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% assign a = properties.price | ceil %}{{ a }}", "20"),
        ("{% capture a %}<{{ n }}>{% endcapture %}{{ a }}{{ a }}", "<5><5>"),
        ("{% if nope %}a{% elsif n %}b{% else %}c{% endif %}", "b"),
        ("{% cycle 'a', 'b' %}{% cycle 'a', 'b' %}{% cycle 'a', 'b' %}", "aba"),
        ("{% increment c %}{% increment c %}{% decrement c %}{{ c }}", "0111"),
        ("{% comment %}{{ n }}{% endcomment %}{% raw %}{{ n }}{% endraw %}", "{{ n }}"),
        ("{% echo n | plus: 1 %}{% # nothing %}", "6"),
        ("{% liquid assign a = 1\necho a %}", "1"),
        ("a{% break %}b", "a"),
    ],
)
def test_tags(template: str, text: str) -> None:
    assert render(template) == text


@pytest.mark.parametrize(
    "tag", ["for i in list", "case n", "include 'x'", "render 'x'", "layout 'x'", "tablerow i in l"]
)
def test_disabled_tags(tag: str) -> None:
    with pytest.raises(LiquidError, match="disabled"):
        compile_liquid(f"{{% {tag} %}}")


def test_disabled_filters_fail_where_they_are_used() -> None:
    template = compile_liquid("{% if a %}{{ a | sort }}{% endif %}")
    assert template({}) == ""
    with pytest.raises(LiquidError, match="sort is disabled"):
        template({"a": [2, 1]})


@pytest.mark.parametrize(
    "template", ["{{ a", "{% if a %}", "{% nosuch %}", "{{ }}", "{{ a | }}x{{ b | : }}"]
)
def test_what_cannot_be_read(template: str) -> None:
    with pytest.raises(LiquidError):
        compile_liquid(template)


@pytest.mark.parametrize("filters", ["url_decode", "base64_decode", "append", "date: '%99999Y'"])
def test_what_fails_in_use(filters: str) -> None:
    with pytest.raises(LiquidError):
        compile_liquid(f"{{{{ a | {filters} }}}}")({"a": "2026%é"[: 4 if "date" in filters else 9]})


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2026-01-31T09:00:00.000Z", 1769850000000),
        ("2026-01-31", 1769817600000),
        ("2026-01-31T09:00:00.123456+02:00", 1769842800123),
        ("2026-01-31 09:00:00Z", 1769850000000),
        ("2026-02-31", 1772496000000),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 1767225600000),
        ("1/31/26 9:00 PM", 1769893200000),
        ("Jan 5", 978652800000),
        ("plan 5", 988675200000),
        ("-000001-01-01", -62198755200000),
        ("2026-01-31T24:00:00Z", 1769904000000),
    ],
)
def test_dates_as_javascript_reads_them(text: str, milliseconds: int) -> None:
    assert parse_date(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "plan", "2026-13-01", "2026-01-31T9:00", "5 plan", "[1,2]", "13:00 pm", "1 2 3 4"]
)
def test_what_is_no_date(text: str) -> None:
    assert parse_date(text) != parse_date(text)
