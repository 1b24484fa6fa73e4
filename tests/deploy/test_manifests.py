"""deploy/: Kubernetes takes the manifests, and they fit the program and each other."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from streams import settings as settings_module
from streams.app import STOP_GRACE_SECONDS
from streams.gateway.run import FLUSH_SECONDS
from streams.settings import Settings
from tests.support.kafka import POM
from tests.support.tools import ROOT, TOOLS, missing, run

Manifest = dict[str, Any]

KUBERNETES = ("1.31", "1.37")
"""The oldest version that is promised to work, and the newest whose schemas there are."""

overlay = pytest.mark.parametrize("overlay", ["base", "overlays/dev", "overlays/production"])
applied = pytest.mark.parametrize("overlay", ["overlays/dev", "overlays/production"])
ours = pytest.mark.parametrize("name", ["worker", "gateway"])


@cache
def rendered(overlay: str) -> list[Manifest]:
    return list(yaml.safe_load_all(run("kustomize", "build", ROOT / "deploy" / overlay)))


def of_kind(overlay: str, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in rendered(overlay) if manifest["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Manifest:
    [found] = [m for m in of_kind(overlay, kind) if m["metadata"]["name"] == name]
    return found


def workloads(overlay: str) -> list[Manifest]:
    return of_kind(overlay, "StatefulSet", "Deployment", "Job")


def workload(overlay: str, name: str) -> Manifest:
    [found] = [m for m in workloads(overlay) if m["metadata"]["name"] == name]
    return found


def pod_of(manifest: Manifest) -> Manifest:
    return manifest["spec"]["template"]["spec"]


def labels_of(manifest: Manifest) -> dict[str, str]:
    return manifest["spec"]["template"]["metadata"]["labels"]


def container_of(manifest: Manifest) -> Manifest:
    [container] = pod_of(manifest)["containers"]
    return container


def matches(selector: Mapping[str, str], manifest: Manifest) -> bool:
    return selector.items() <= labels_of(manifest).items()


# -- what Kubernetes takes


def is_of_kubernetes(manifest: Manifest) -> bool:
    group = manifest["apiVersion"].rpartition("/")[0]
    return "." not in group or group.endswith(".k8s.io")


def check_with_kubernetes(manifests: list[Manifest], version: str, folder: Path) -> str:
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(manifests))
    return run("kubernetes-validate", "--strict", "--kubernetes-version", version, file)


@overlay
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_what_is_rendered(overlay: str, version: str, tmp_path: Path) -> None:
    core = [manifest for manifest in rendered(overlay) if is_of_kubernetes(manifest)]
    said = check_with_kubernetes(core, version, tmp_path)
    assert said.count("passed for resource") == len(core), said


def test_a_misspelt_field_is_noticed(tmp_path: Path) -> None:
    wrong = yaml.safe_load(yaml.safe_dump(workload("base", "worker")))
    pod_of(wrong)["terminationGracePeriodSecond"] = 60
    with pytest.raises(AssertionError, match="terminationGracePeriodSecond"):
        check_with_kubernetes([wrong], KUBERNETES[0], tmp_path)


@cache
def custom_schema(group: str, kind: str) -> dict[str, Any]:
    """From the definition that KEDA or the operator installs."""
    file = TOOLS / "crds" / f"{group}_{kind.lower()}s.yaml"
    if not file.exists():
        missing("the schemas of KEDA and of the Prometheus operator")
    [version] = yaml.safe_load(file.read_text())["spec"]["versions"]
    return {"version": version["name"], **closed(version["schema"]["openAPIV3Schema"])}


def closed(schema: Any) -> Any:
    """The schema, refusing what the API server would drop in silence: unknown fields."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get(
        "x-kubernetes-preserve-unknown-fields"
    ):
        made.setdefault("additionalProperties", False)
    return made


def check_custom(manifest: Manifest) -> None:
    group, version = manifest["apiVersion"].split("/")
    schema = custom_schema(group, manifest["kind"])
    assert schema["version"] == version
    # The server knows metadata by itself.
    about = {key: value for key, value in manifest.items() if key != "metadata"}
    # Their patterns are Go's: the schema itself is not Python's to judge.
    jsonschema.Draft202012Validator(schema).validate({**about, "metadata": {}})


def test_keda_and_the_prometheus_operator_take_what_is_theirs() -> None:
    custom = [m for m in rendered("overlays/production") if not is_of_kubernetes(m)]
    for manifest in custom:
        check_custom(manifest)
    assert {manifest["kind"] for manifest in custom} == {
        "ScaledObject",
        "TriggerAuthentication",
        "ServiceMonitor",
        "PrometheusRule",
    }


def test_a_misspelt_field_of_theirs_is_noticed() -> None:
    wrong = json.loads(json.dumps(named("overlays/production", "ScaledObject", "worker")))
    wrong["spec"]["maxReplicas"] = 8
    with pytest.raises(jsonschema.ValidationError, match="maxReplicas"):
        check_custom(wrong)


# -- settings


def environment(overlay: str, container: Manifest) -> dict[str, str]:
    """What a container gets; a secret that the overlay does not bring is made up."""
    secrets = {
        "encharge": {"ENCHARGE_API_KEY": "k"},
        "gateway": {"STREAMS_WRITE_KEYS": "k"},
        "kafka": {"KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "p"},
    }
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        if reference := source.get("configMapRef"):
            found |= named(overlay, "ConfigMap", reference["name"])["data"]
        else:
            # Rendered, a name may end in a hash.
            name = re.sub(r"-[a-z0-9]{10}$", "", source["secretRef"]["name"])
            found |= secrets[name]
    return found | {entry["name"]: entry["value"] for entry in container.get("env", ())}


def settings_of(overlay: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for variable in settings_module._names():
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment(overlay, container_of(workload(overlay, name))).items():
        monkeypatch.setenv(variable, value)
    return settings_module.load()


@overlay
@ours
def test_every_setting_is_one_that_the_program_takes(
    overlay: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = environment(overlay, container_of(workload(overlay, name)))
    assert set(given) <= settings_module._names()
    settings = settings_of(overlay, name, monkeypatch)
    assert settings.gateway_topic == settings.streams_source_topic


@applied
@ours
def test_a_key_is_never_in_a_manifest_that_is_for_production(overlay: str, name: str) -> None:
    secrets = {m["metadata"]["name"] for m in of_kind(overlay, "Secret")}
    assert bool(secrets) == (overlay == "overlays/dev")
    for config in of_kind(overlay, "ConfigMap"):
        assert not [key for key in config["data"] if re.search(r"PASSWORD|_KEYS?$", key)]
    wanted = {"worker": {"encharge", "kafka"}, "gateway": {"gateway", "kafka"}}[name]
    refs = [e["secretRef"] for e in container_of(workload(overlay, name))["envFrom"][1:]]
    assert {re.sub(r"-[a-z0-9]{10}$", "", ref["name"]) for ref in refs} == wanted, "no more"


# -- pods


@overlay
def test_pods_may_do_nothing_but_their_work(overlay: str) -> None:
    for manifest in workloads(overlay):
        pod, container = pod_of(manifest), container_of(manifest)
        name = manifest["metadata"]["name"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        # Kubernetes' own variables for a Service named kafka would be taken for settings.
        assert pod["enableServiceLinks"] is False, name
        limits = container["securityContext"]
        assert limits["allowPrivilegeEscalation"] is False, name
        assert limits["capabilities"] == {"drop": ["ALL"]}, name
        assert limits.get("readOnlyRootFilesystem") is True or name == "kafka", name
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert set(container["resources"]["limits"]) == {"memory"}, name


@overlay
def test_the_stores_are_on_a_volume_of_each_worker(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = workload(overlay, "worker")
    mounts = {mount["name"]: mount for mount in container_of(worker)["volumeMounts"]}
    [claim] = worker["spec"]["volumeClaimTemplates"]
    mount = mounts[claim["metadata"]["name"]]
    settings = settings_of(overlay, "worker", monkeypatch)
    assert Path(mount["mountPath"]) == settings.streams_data_dir
    # The image's user may write there.
    [user] = re.findall(r"^USER (\d+):", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert pod_of(worker)["securityContext"]["fsGroup"] == int(user)


@overlay
@ours
def test_being_ready_is_asked_for_apart_from_being_alive(overlay: str, name: str) -> None:
    container = container_of(workload(overlay, name))
    paths = {kind: container[kind]["httpGet"]["path"] for kind in container if "Probe" in kind}
    assert paths == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    [port] = container["ports"]
    fields = Settings.model_fields
    listens = {"worker": "streams_web_port", "gateway": "streams_gateway_port"}[name]
    assert port["containerPort"] == fields[listens].default
    assert all(container[kind]["httpGet"]["port"] == port["name"] for kind in paths)


@overlay
def test_a_pod_that_is_told_to_go_has_the_time_to_settle_what_it_began(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(overlay, "worker", monkeypatch)
    grace = pod_of(workload(overlay, "worker"))["terminationGracePeriodSeconds"]
    assert grace >= settings.streams_drain_seconds + STOP_GRACE_SECONDS + 10
    gateway = workload(overlay, "gateway")
    [_, wait] = container_of(gateway)["lifecycle"]["preStop"]["exec"]["command"]
    needed = float(wait) + settings.streams_gateway_confirm_seconds + 1 + FLUSH_SECONDS
    assert pod_of(gateway)["terminationGracePeriodSeconds"] > needed


def test_the_images_are_those_of_the_rest() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for overlay in ("base", "overlays/production"):
        for name in ("worker", "gateway"):
            image = container_of(workload(overlay, name))["image"]
            assert image.rpartition("/")[2] == f"encharge-streams:{version}"
    [kafka] = re.findall(r"<kafka\.version>(.+)</kafka\.version>", POM.read_text())
    for name in ("topics", "kafka"):
        assert container_of(workload("overlays/dev", name))["image"] == f"apache/kafka:{kafka}"


# -- what belongs together


def selectors(overlay: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    for manifest in rendered(overlay):
        spec, about = manifest.get("spec", {}), f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] == "Service":
            yield about, spec["selector"]
        elif manifest["kind"] in ("PodDisruptionBudget", "StatefulSet", "Deployment"):
            yield about, spec["selector"]["matchLabels"]
        elif manifest["kind"] == "NetworkPolicy":
            yield about, spec["podSelector"]["matchLabels"]


@overlay
def test_whatever_selects_pods_selects_some(overlay: str) -> None:
    for about, selector in selectors(overlay):
        assert any(matches(selector, manifest) for manifest in workloads(overlay)), about


def test_what_is_scaled_and_scraped_exists() -> None:
    production = "overlays/production"
    for scaler in of_kind(production, "ScaledObject", "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert "replicas" not in named(production, target["kind"], target["name"])["spec"]
    for monitor in of_kind(production, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        [service] = [
            m
            for m in of_kind(production, "Service")
            if wanted.items() <= m["metadata"]["labels"].items()
        ]
        [endpoint] = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_no_more_workers_are_asked_for_than_can_share_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_of("overlays/production", "worker", monkeypatch)
    scaled = named("overlays/production", "ScaledObject", "worker")["spec"]
    assert 1 <= scaled["minReplicaCount"] <= scaled["maxReplicaCount"]
    assert scaled["maxReplicaCount"] == settings.streams_partitions
    source, stage = (trigger["metadata"] for trigger in scaled["triggers"])
    assert source["topicFromEnv"] == "STREAMS_SOURCE_TOPIC"
    assert stage["topic"] == settings.stage_topic
    given = environment(
        "overlays/production",
        container_of(workload("base", "worker"))
        | {"envFrom": container_of(workload("overlays/production", "worker"))["envFrom"]},
    )
    for trigger in (source, stage):
        from_environment = {v for k, v in trigger.items() if k.endswith("FromEnv")}
        assert from_environment <= set(given)
        assert trigger["sasl"] == str(settings.kafka_sasl_mechanism).lower().replace(
            "-", "_"
        ).replace("sha_", "sha")


# -- the network


def egress_ports(overlay: str, manifest: Manifest) -> set[tuple[int, str]]:
    return {
        (port["port"], port["protocol"])
        for policy in of_kind(overlay, "NetworkPolicy")
        if matches(policy["spec"]["podSelector"]["matchLabels"], manifest)
        for rule in policy["spec"].get("egress", ())
        for port in rule["ports"]
    }


@overlay
def test_pods_reach_what_they_need_and_nothing_else(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(overlay, "worker", monkeypatch)
    kafka = int(settings.kafka_bootstrap_servers.rpartition(":")[2])
    url = urlsplit(settings.encharge_api_url)
    destination = url.port or {"http": 80, "https": 443}[url.scheme]
    anywhere = {(53, "UDP"), (53, "TCP"), (kafka, "TCP")}
    assert egress_ports(overlay, workload(overlay, "worker")) == anywhere | {(destination, "TCP")}
    assert egress_ports(overlay, workload(overlay, "gateway")) == anywhere
    assert egress_ports(overlay, workload(overlay, "topics")) == anywhere


@overlay
@pytest.mark.parametrize("name", ["worker", "gateway", "topics"])
def test_a_pod_of_ours_is_closed_but_for_what_is_listed(overlay: str, name: str) -> None:
    manifest = workload(overlay, name)
    policies = [
        policy["spec"]
        for policy in of_kind(overlay, "NetworkPolicy")
        if matches(policy["spec"]["podSelector"]["matchLabels"], manifest)
    ]
    closed = [p for p in policies if set(p["policyTypes"]) == {"Ingress", "Egress"}]
    assert [policy["ingress"] for policy in closed] == [[]]
    opened = {
        port["port"]
        for policy in policies
        for rule in policy.get("ingress", ())
        for port in rule["ports"]
    }
    assert opened == {port["name"] for port in container_of(manifest).get("ports", ())}
