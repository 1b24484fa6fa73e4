"""docs/operations.md: its commands are right, and it has an entry for every alert."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from streams.cli.main import app
from streams.engine.stores import FORMAT_VERSION
from streams.settings import Settings
from streams.telemetry.gateway import GatewayMetrics
from streams.telemetry.metrics import AllMetrics
from streams.web.server import Reason
from tests.deploy.test_manifests import container_of, pod_of, rendered, workloads
from tests.support.tools import ROOT, run

PAGE = (ROOT / "docs" / "operations.md").read_text()
PRODUCTION = "overlays/production"


def blocks() -> Iterator[str]:
    """The text of the code on the page: blocks, indented or fenced, and what is in a line."""
    fenced = re.findall(r"^ *```(?:sh|console)\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
    indented = re.findall(r"(?:^ {4,}\S.*\n)+", PAGE, re.MULTILINE)
    yield from fenced
    yield from indented
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))


def commands(program: str) -> list[list[str]]:
    """The arguments of every call of a program on the page."""
    found = []
    for block in blocks():
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"[|;]|&&|&$", line):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    del words[0]
                if words[:1] == [program] and len(words) > 1:
                    found.append(words[1:])
    return found


@pytest.mark.parametrize("arguments", commands("streams"), ids=" ".join)
def test_each_command_is_one_that_the_program_has(arguments: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    words = [word for word in arguments if word != "--help"]
    while hasattr(command, "resolve_command"):
        _, command, words = command.resolve_command(typer.Context(command), words)
    command.make_context("streams", words)


def test_there_are_such_commands() -> None:
    assert len(commands("streams")) > 5
    assert len(commands("kubectl")) > 5
    assert len(commands("docker")) > 2


def test_what_is_applied_can_be_rendered() -> None:
    applied = [words[words.index("-k") + 1] for words in commands("kubectl") if "-k" in words[:-1]]
    assert set(applied) == {f"deploy/overlays/{name}" for name in ("dev", "production")}
    for folder in applied:
        run("kustomize", "build", ROOT / folder)


def test_the_secrets_that_are_made_are_those_that_pods_ask_for() -> None:
    made: dict[str, set[str]] = {}
    for words in commands("kubectl"):
        if "secret" in words:
            name = words[words.index("generic") + 1]
            keys = {w.split("=", 1)[1].split("=")[0] for w in words if w.startswith("--from-")}
            made.setdefault(name, set()).update(keys)
    asked = set()
    for workload in workloads(PRODUCTION):
        sources = container_of(workload)["envFrom"]
        asked |= {entry["secretRef"]["name"] for entry in sources if "secretRef" in entry}
        volumes = pod_of(workload)["volumes"]
        asked |= {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    assert set(made) == asked
    [auth] = [m for m in rendered(PRODUCTION) if m["kind"] == "TriggerAuthentication"]
    for reference in auth["spec"]["secretTargetRef"]:
        assert reference["key"] in made[reference["name"]]


def test_the_way_to_bring_mappings_can_be_rendered(tmp_path: Path) -> None:
    [snippet] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    kustomization = yaml.safe_load(snippet)
    (tmp_path / "streams.yaml").write_text("destinations: []\n")
    base = Path(*[".."] * (len(tmp_path.parts) - 1), *(ROOT / "deploy/base").parts[1:])
    kustomization["resources"] = [str(base)]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    made = list(yaml.safe_load_all(run("kustomize", "build", tmp_path)))
    [worker] = [m for m in made if m["kind"] == "StatefulSet"]
    [volume] = [v for v in pod_of(worker)["volumes"] if v["name"] == "mappings"]
    [mounted] = [m for m in container_of(worker)["volumeMounts"] if m["name"] == "mappings"]
    configs = {m["metadata"]["name"]: m["data"] for m in made if m["kind"] == "ConfigMap"}
    [file] = configs[volume["configMap"]["name"]]
    [settings] = [data for data in configs.values() if "STREAMS_CONFIG" in data]
    assert settings["STREAMS_CONFIG"] == f"{mounted['mountPath']}/{file}"


# -- the page


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_runbook_has_an_entry_for_each_alert_and_no_other() -> None:
    text = (ROOT / "deploy/observability/rules.yaml").read_text()
    runbook = PAGE[PAGE.index("## Runbook") :]
    assert re.findall(r"^### (\w+)$", runbook, re.MULTILINE) == re.findall(r"alert: (\w+)", text)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https:)([^)]+)\)", PAGE):
        name, _, anchor = target.partition("#")
        page = ROOT / "docs" / (name or "operations.md")
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


def test_each_reason_of_not_being_ready_is_explained() -> None:
    table = PAGE[PAGE.index("| reason | means |") :].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == {*Reason}


def test_names_on_the_page_exist() -> None:
    worker = AllMetrics()
    worker.of("encharge")
    text = "".join(m.text().decode() for m in (worker, GatewayMetrics()))
    for name in set(re.findall(r"\bstreams_[a-z_]+[a-z]\b", PAGE)):
        assert re.search(rf"^# TYPE {re.sub('_count$', '', name)} ", text, re.MULTILINE), name
    for name in set(re.findall(r"\b(?:STREAMS|ENCHARGE|KAFKA)_[A-Z_]+[A-Z]\b", PAGE)):
        assert name.lower() in Settings.model_fields, name
    assert f"(`v{FORMAT_VERSION}`)" in PAGE
    for path in set(re.findall(r"`((?:deploy|base)/[\w./-]+)`", PAGE)):
        assert (ROOT / (path if path.startswith("deploy") else f"deploy/{path}")).exists(), path


# -- the Job that makes the source topic


@pytest.mark.parametrize("is_secured", [False, True], ids=["plain", "secured"])
def test_the_job_asks_kafka_s_own_tool_for_the_source_topic(
    is_secured: bool, tmp_path: Path
) -> None:
    [job] = [m for m in rendered(PRODUCTION) if m["kind"] == "Job"]
    shell, flags, script = container_of(job)["command"]
    tool = tmp_path / "kafka-topics.sh"
    tool.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    tool.chmod(0o755)
    properties = tmp_path / "client.properties"
    if is_secured:
        properties.touch()
    script = script.replace("/opt/kafka/bin/kafka-topics.sh", str(tool))
    script = script.replace("/etc/kafka-admin/client.properties", str(properties))
    done = subprocess.run(
        [shell, flags, script],
        env={
            "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
            "STREAMS_SOURCE_TOPIC": "segment-events",
            "SOURCE_PARTITIONS": "8",
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == [
        *("--bootstrap-server", "kafka:9092"),
        *(("--command-config", str(properties)) if is_secured else ()),
        *("--create", "--if-not-exists"),
        *("--topic", "segment-events", "--partitions", "8"),
    ]
