"""docker-compose.yml and what belongs to it, as far as it can be checked without Docker."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.settings import Settings
from tests.support.kafka import POM

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"

# A name that is not here is a typing error, or a setting that nobody knows of.
SETTINGS = {name.upper() for name in Settings.model_fields}

Service = dict[str, Any]

compose: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
services: dict[str, Service] = compose["services"]
each_service = pytest.mark.parametrize("name", services)


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)s", text)
    assert match, f"{text!r} is not in seconds"
    return int(match[1])


def test_the_services_are_those_of_the_documentation() -> None:
    profiles = {name: service.get("profiles", []) for name, service in services.items()}
    assert profiles == {
        "kafka": [],
        "worker": [],
        "gateway": ["gateway"],
        "encharge": ["stand-in"],
        "prometheus": ["observability"],
        "grafana": ["observability"],
    }


@each_service
def test_every_service_says_whether_it_is_well(name: str) -> None:
    check = services[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert len(check["test"]) > 1
    assert _seconds(check["timeout"]) <= _seconds(check["interval"])
    # The check's own patience ends before Docker's, or its answer would never be seen.
    inner = re.search(r"timeout=(\d+)", check["test"][-1])
    assert inner is None or int(inner[1]) < _seconds(check["timeout"])


@each_service
def test_health_is_asked_for_on_a_port_of_the_service(name: str) -> None:
    asked = re.search(
        r"(?:127\.0\.0\.1|localhost):(\d+)", services[name]["healthcheck"]["test"][-1]
    )
    assert asked
    known = {port.rpartition(":")[2] for port in services[name]["ports"]}
    listeners = services[name].get("environment", {}).get("KAFKA_LISTENERS", "")
    assert asked[1] in known | set(re.findall(r":(\d+)", listeners))


@pytest.mark.parametrize("name", ["worker", "gateway", "encharge"])
def test_the_check_is_a_program_that_python_can_read(name: str) -> None:
    _, python, flag, program = services[name]["healthcheck"]["test"]
    assert (python, flag) == ("python", "-c")
    compile(program, name, "exec")


@each_service
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    for port in services[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


def test_no_two_services_want_the_same_port() -> None:
    ports = [port.split(":")[1] for service in services.values() for port in service["ports"]]
    assert len(ports) == len(set(ports))


@pytest.mark.parametrize("name", ["worker", "gateway"])
def test_every_setting_is_one_that_the_program_knows(name: str) -> None:
    environment = services[name]["environment"]
    assert set(environment) <= SETTINGS
    # A number or a truth value would be YAML's spelling of it, not ours.
    assert all(value is None or isinstance(value, str) for value in environment.values())


@pytest.mark.parametrize("name", ["worker", "gateway"])
def test_kafka_is_called_by_the_name_it_answers_with(name: str) -> None:
    bootstrap = services[name]["environment"]["KAFKA_BOOTSTRAP_SERVERS"]
    kafka = services["kafka"]["environment"]
    assert f"INTERNAL://{bootstrap}" in kafka["KAFKA_ADVERTISED_LISTENERS"].split(",")
    host_port = services["kafka"]["ports"][0].removeprefix("127.0.0.1:").split(":")[0]
    assert f"HOST://127.0.0.1:{host_port}" in kafka["KAFKA_ADVERTISED_LISTENERS"].split(",")


def test_encharge_is_the_real_one_unless_told_otherwise() -> None:
    environment = services["worker"]["environment"]
    assert environment["ENCHARGE_API_URL"] is None
    assert environment["ENCHARGE_INGEST_URL"] is None
    assert environment["ENCHARGE_API_KEY"] is None


@each_service
def test_a_service_waits_for_healthy_ones(name: str) -> None:
    for other, how in services[name].get("depends_on", {}).items():
        assert how["condition"] == "service_healthy"
        # One whose profile may be off must not be missed.
        is_there = services[other].get("profiles", []) in ([], services[name].get("profiles", []))
        assert how.get("required", True) == is_there


def test_the_worker_has_the_time_to_drain() -> None:
    drain = Settings.model_fields["streams_drain_seconds"].default
    assert _seconds(services["worker"]["stop_grace_period"]) >= drain + 15


def test_data_outlives_the_containers() -> None:
    for name, setting in (("worker", "STREAMS_DATA_DIR"), ("kafka", "KAFKA_LOG_DIRS")):
        targets = dict(volume.split(":") for volume in services[name]["volumes"])
        assert services[name]["environment"][setting] in targets.values()
        assert set(targets) <= set(compose["volumes"])


def test_prometheus_and_grafana_are_given_what_is_in_the_repository() -> None:
    given = {}
    for name in ("prometheus", "grafana"):
        for volume in services[name]["volumes"]:
            source, target = volume.split(":")[:2]
            if source.startswith("./"):
                assert volume.endswith(":ro")
                given[target] = yaml.safe_load((ROOT / source).read_text())
    asked = given["/etc/prometheus/prometheus.yml"]
    assert set(asked["rule_files"]) <= set(given)
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in asked["scrape_configs"]
    }
    for name in ("worker", "gateway"):
        assert targets[name] == [f"{name}:{services[name]['ports'][0].rpartition(':')[2]}"]
    [source] = given["/etc/grafana/provisioning/datasources/prometheus.yaml"]["datasources"]
    assert source["url"] == f"http://prometheus:{services['prometheus']['ports'][0].split(':')[2]}"
    [provider] = given["/etc/grafana/provisioning/dashboards/streams.yaml"]["providers"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in given
    assert home.startswith(provider["options"]["path"] + "/")


def test_kafka_is_the_version_that_the_tests_run_on() -> None:
    pinned = re.search(r"<kafka\.version>(.+)</kafka\.version>", POM.read_text())
    assert pinned
    assert services["kafka"]["image"] == f"apache/kafka:{pinned[1]}"


def test_one_image_serves_all_of_ours() -> None:
    ours = [services[name] for name in ("worker", "gateway", "encharge")]
    assert all(service["build"] == ours[0]["build"] for service in ours)
    assert ROOT / ours[0]["build"]["dockerfile"] == DOCKERFILE
    assert all(service["command"][0] == "streams" for service in ours)


def test_the_example_of_the_settings_holds_no_secret_and_no_unknown_name() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    given = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", "\n".join(lines), re.MULTILINE))
    known = set(services["worker"]["environment"]) | set(services["gateway"]["environment"])
    assert set(given) <= known
    assert given["ENCHARGE_API_KEY"] == ""
    stand_in = f"http://encharge:{services['encharge']['command'][-1]}"
    assert given["ENCHARGE_API_URL"] == stand_in
    assert given["ENCHARGE_INGEST_URL"] == f"{stand_in}/v1"


def test_the_yaml_is_clean() -> None:
    rules = "{extends: default, rules: {line-length: {max: 110}, document-start: disable}}"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "yamllint",
            "--strict",
            "-d",
            rules,
            str(COMPOSE),
            str(ROOT / "deploy"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_image_is_made_from_locked_dependencies_and_runs_as_nobody() -> None:
    text = DOCKERFILE.read_text()
    build, final = text[: text.rindex("\nFROM ")], text[text.rindex("\nFROM ") :]
    assert "--require-hashes --only-binary=:all: -r requirements/run.txt" in build
    assert "pip install --no-deps" in build
    assert "pip install" not in final
    assert "apt-get" not in text
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final, re.MULTILINE)
    # One base for both, which a release names by its digest.
    assert re.search(r"^ARG PYTHON=python:3\.\d+-slim$", text, re.MULTILINE)
    assert all(
        re.match(r"FROM \$\{PYTHON\}( AS build)?$", line)
        for line in text.splitlines()
        if line.startswith("FROM")
    )


def test_what_the_image_is_made_of_gets_into_the_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    let_in = {line[1:].rstrip("/") for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    for source in " ".join(copied).split():
        folder = "requirements/*.txt" if source.startswith("requirements/") else source
        assert folder in let_in, source
        assert (ROOT / source).exists(), source
