"""Alerts and dashboard: they name metrics that exist, and each alert is seen to fire."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from streams.telemetry.gateway import GatewayMetrics
from streams.telemetry.metrics import AllMetrics, Metrics
from streams.web.server import Reason
from tests.support.tools import ROOT, run

FOLDER = ROOT / "deploy" / "observability"
RULES = FOLDER / "rules.yaml"
TESTS = FOLDER / "rules.test.yaml"

rules: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
names = [rule["alert"] for rule in rules]
dashboard: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())


def known(registry: CollectorRegistry) -> Iterator[str]:
    for family in registry.collect():
        if family.type == "counter":
            yield f"{family.name}_total"
        elif family.type == "histogram":
            yield from (f"{family.name}_{part}" for part in ("bucket", "sum", "count"))
        else:
            yield family.name


KNOWN = {
    name
    for registry in (Metrics().registry, AllMetrics().process, GatewayMetrics().registry)
    for name in known(registry)
}


def expressions() -> list[str]:
    return [
        target["expr"].replace("$__rate_interval", "5m").replace("$__range", "1h")
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]


@pytest.mark.parametrize("expression", [rule["expr"] for rule in rules] + expressions())
def test_only_metrics_that_exist_are_named(expression: str) -> None:
    mentioned = set(re.findall(r"\bstreams_\w+", expression))
    assert mentioned
    assert mentioned <= KNOWN


def test_only_reasons_that_exist_are_named() -> None:
    asked = re.findall(r'streams_not_ready\{reason=~?"([^"]+)"', RULES.read_text())
    reasons = {reason for text in asked for reason in text.split("|")}
    assert reasons == {*Reason} - {Reason.STOPPING}, "an alert for each, but for an orderly stop"


def test_every_metric_is_looked_at() -> None:
    """By an alert or on the dashboard: what nobody looks at need not be counted."""
    looked_at = " ".join([*expressions(), *(rule["expr"] for rule in rules)])
    unseen = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for name in KNOWN
        if re.sub(r"_(bucket|sum|count)$", "", name) not in looked_at
    }
    assert unseen == {"streams_process_virtual_memory_bytes"}


def test_the_rules_and_the_dashboard_are_what_prometheus_can_evaluate(tmp_path: Path) -> None:
    run("promtool", "check", "rules", RULES)
    recorded = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(expressions())
    ]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    assert f"{len(recorded)} rules found" in run("promtool", "check", "rules", file)


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    assert "SUCCESS" in run("promtool", "test", "rules", TESTS)
    fired = set(re.findall(r'alertname="(\w+)"', TESTS.read_text()))
    assert fired == set(names)


def test_the_tests_miss_each_alert_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / RULES.name).write_text("groups: []\n")
    (tmp_path / TESTS.name).write_text(TESTS.read_text())
    with pytest.raises(AssertionError) as failure:
        run("promtool", "test", "rules", tmp_path / TESTS.name)
    assert [name for name in names if f'alertname="{name}"' not in str(failure.value)] == []


def test_the_operator_gets_the_same_alerts() -> None:
    file = ROOT / "deploy/overlays/production/alerts.yaml"
    operators = yaml.safe_load(file.read_text())["spec"]
    assert operators == yaml.safe_load(RULES.read_text()), "make alerts"


@pytest.mark.parametrize("rule", rules, ids=names)
def test_each_alert_says_how_bad_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_the_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
