"""Settings come from the environment, and every complaint names its variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams import settings
from streams.errors import SettingsError
from streams.settings import LogFormat, SecurityProtocol, Settings, TableStore, load


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith(("KAFKA_", "SCHEMA_", "STREAMS_", "ENCHARGE_")):
            monkeypatch.delenv(name)


def test_the_defaults_are_those_of_the_documentation() -> None:
    found = load()
    assert found.kafka_bootstrap_servers == "127.0.0.1:9092"
    assert found.streams_source_topic == "segment-events"
    assert found.streams_app_id == "encharge-streams"
    assert found.dlq_topic == "encharge-streams-dead-letters"
    assert found.stage_topic == "encharge-streams-events"
    assert found.streams_partitions == 8
    assert found.streams_data_dir == Path("./.streams")
    assert found.streams_table_store is TableStore.ROCKSDB
    assert (found.streams_web_host, found.streams_web_port) == ("0.0.0.0", 6066)
    assert (found.streams_batch_max_events, found.streams_batch_max_seconds) == (500, 1.0)
    assert (found.streams_coalesce, found.streams_dry_run) == (True, False)
    assert found.streams_dedup_seconds == 86400
    assert (found.streams_max_concurrency, found.streams_max_requests_per_second) == (64, None)
    assert found.streams_retry_max_seconds == 14400
    assert (found.streams_dlq_breaker_share, found.streams_dlq_breaker_events) == (0.5, 100)
    assert found.encharge_api_url == "https://api.encharge.io"
    assert found.encharge_ingest_url == "https://ingest.encharge.io/v1"
    assert (found.streams_log_level, found.streams_log_format) == ("info", None)


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_PARTITIONS", "16")
    monkeypatch.setenv("STREAMS_TABLE_STORE", "memory")
    monkeypatch.setenv("STREAMS_COALESCE", "false")
    monkeypatch.setenv("STREAMS_LOG_FORMAT", "console")
    monkeypatch.setenv("STREAMS_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "ssl")
    monkeypatch.setenv("STREAMS_APP_ID", "mine")
    found = load()
    assert found.streams_partitions == 16
    assert found.streams_table_store is TableStore.MEMORY
    assert not found.streams_coalesce
    assert found.streams_log_format is LogFormat.CONSOLE
    assert found.streams_log_level == "debug"
    assert found.kafka_security_protocol is SecurityProtocol.SSL
    assert (found.dlq_topic, found.stage_topic) == ("mine-dead-letters", "mine-events")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STREAMS_PARTITIONS", "STREAMS_MAX_REQUESTS_PER_SECOND", "ENCHARGE_API_KEY"):
        monkeypatch.setenv(name, "")
    found = load()
    assert found.streams_partitions == 8
    assert found.encharge_api_key is None


def test_overrides_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_PARTITIONS", "16")
    assert load({"streams_partitions": 2}).streams_partitions == 2


BAD = [
    ("STREAMS_PARTITIONS", "0"),
    ("STREAMS_PARTITIONS", "many"),
    ("STREAMS_REPLICATION_FACTOR", "0"),
    ("STREAMS_APP_ID", "with spaces"),
    ("STREAMS_APP_ID", "x" * 181),
    ("STREAMS_TABLE_STORE", "postgres"),
    ("STREAMS_DEDUP_SECONDS", "0"),
    ("STREAMS_MAX_EVENT_BYTES", "-1"),
    ("STREAMS_BATCH_MAX_EVENTS", "0"),
    ("STREAMS_BATCH_MAX_BYTES", "0"),
    ("STREAMS_BATCH_MAX_SECONDS", "0"),
    ("STREAMS_COALESCE", "perhaps"),
    ("STREAMS_PEOPLE_BULK", "x"),
    ("STREAMS_PEOPLE_BULK_SIZE", "1"),
    ("STREAMS_DRY_RUN", "2"),
    ("STREAMS_PUBLISH_ACTIONS", "x"),
    ("STREAMS_MAX_CONCURRENCY", "0"),
    ("STREAMS_MAX_REQUESTS_PER_SECOND", "0"),
    ("STREAMS_MAX_REQUESTS_BURST", "0"),
    ("STREAMS_CIRCUIT_FAILURES", "0"),
    ("STREAMS_MAX_WAITING_EVENTS", "0"),
    ("STREAMS_REQUEST_TIMEOUT_SECONDS", "0"),
    ("STREAMS_RETRY_MAX_SECONDS", "0"),
    ("STREAMS_DRAIN_SECONDS", "-1"),
    ("STREAMS_SESSION_SECONDS", "0"),
    ("STREAMS_WEB_PORT", "65536"),
    ("STREAMS_WRITE_KEYS", ":name"),
    ("STREAMS_WRITE_KEYS", "k:a name"),
    ("STREAMS_WRITE_KEYS", "k:a,k:b"),
    ("STREAMS_GATEWAY_PORT", "-1"),
    ("STREAMS_GATEWAY_CONFIRM_SECONDS", "0"),
    ("STREAMS_GATEWAY_MAX_WAITING_EVENTS", "0"),
    ("STREAMS_GATEWAY_MAX_WAITING_BYTES", "0"),
    ("STREAMS_GATEWAY_MAX_EVENTS_PER_SECOND", "0"),
    ("STREAMS_LOG_LEVEL", "loud"),
    ("STREAMS_LOG_FORMAT", "xml"),
    ("KAFKA_SECURITY_PROTOCOL", "TLS"),
    ("ENCHARGE_API_URL", "api.encharge.io"),
    ("ENCHARGE_INGEST_URL", "ftp://ingest.encharge.io"),
    ("SCHEMA_REGISTRY_URL", "registry:8081"),
    ("SCHEMA_REGISTRY_URL", "http://user:secret@"),
    ("STREAMS_PUBLISH_FORMAT", "protobuf"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_an_error_that_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"^{name}: "):
        load()


def test_every_variable_at_fault_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_PARTITIONS", "0")
    monkeypatch.setenv("STREAMS_WEB_PORT", "x")
    with pytest.raises(SettingsError, match=r"STREAMS_PARTITIONS: .*; STREAMS_WEB_PORT: "):
        load()


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "sasl_ssl"])
def test_sasl_needs_all_of_its_variables(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", protocol)
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "plain")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "me")
    with pytest.raises(SettingsError, match="KAFKA_SASL_PASSWORD"):
        load()
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "secret")
    assert load().kafka_sasl_mechanism == "PLAIN"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCHARGE_API_KEY", "top-secret")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "top-secret")
    monkeypatch.setenv("STREAMS_WRITE_KEYS", "top-secret:web")
    found = load()
    assert "top-secret" not in f"{found!r} {found} {found.model_dump_json()}"
    assert found.api_key == "top-secret"
    # Nor in an error about another variable.
    monkeypatch.setenv("ENCHARGE_API_URL", "top-secret")
    with pytest.raises(SettingsError) as caught:
        load()
    assert "top-secret" not in str(caught.value)


def test_a_login_in_the_url_of_the_registry_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "https://me:secret@registry:8081/api/")
    found = load()
    assert "secret" not in f"{found!r}{found}{found.registry_url}"
    assert found.registry_url == "https://registry:8081/api"
    assert found.registry_login == ("me", "secret")
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "ftp://me:secret@registry")
    with pytest.raises(SettingsError) as caught:
        load()
    assert "secret" not in str(caught.value)


def test_the_api_key_is_required_where_it_is_used_and_stands_in_for_the_write_key() -> None:
    with pytest.raises(SettingsError, match="ENCHARGE_API_KEY: is required"):
        _ = load().api_key
    assert load({"encharge_api_key": "k"}).write_key == "k"
    assert load({"encharge_api_key": "k", "encharge_write_key": "w"}).write_key == "w"


def test_kafka_options_in_the_form_of_its_clients() -> None:
    assert load().kafka_client_options() == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "PLAINTEXT",
    }
    options = load(
        {
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-256",
            "kafka_sasl_username": "me",
            "kafka_sasl_password": "secret",
        }
    ).kafka_client_options()
    assert options.pop("ssl_context").check_hostname
    assert options == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
    }


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = load({"kafka_security_protocol": "SSL", "kafka_ssl_ca": tmp_path / "none.pem"})
    with pytest.raises(SettingsError, match="KAFKA_SSL_CA"):
        found.kafka_client_options()


def test_settings_do_not_change() -> None:
    with pytest.raises(Exception, match="frozen"):
        load().streams_partitions = 1  # type: ignore[misc]


def test_the_description_lists_every_setting_with_default_and_meaning() -> None:
    rows = settings.describe()
    assert [name for name, _, _ in rows] == [name.upper() for name in Settings.model_fields]
    assert all(meaning for _, _, meaning in rows)
    defaults = {name: default for name, default, _ in rows}
    assert defaults["STREAMS_TABLE_STORE"] == "rocksdb"
    assert defaults["STREAMS_MAX_REQUESTS_PER_SECOND"] == "none"
    assert defaults["STREAMS_PARTITIONS"] == "8"


def test_every_setting_is_used_by_the_program() -> None:
    root = Path(settings.__file__).parent
    text = "\n".join(
        path.read_text() for path in root.rglob("*.py") if "dev" not in path.relative_to(root).parts
    )
    # Once where it is declared, and at least once more.
    unused = {name for name in Settings.model_fields if text.count(name) < 2}
    assert unused == set()


def test_a_misspelt_variable_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_PARTITION", "8")
    monkeypatch.setenv("STREAMS_PARTITIONS", "8")
    monkeypatch.setenv("encharge_key", "k")
    monkeypatch.setenv("KAFKA_HOME", "/opt/kafka")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVER", "kafka:9092")
    monkeypatch.setenv("STREAMSDATADIR", "x")
    monkeypatch.setenv("STREAM_WEB_PORT", "1")
    assert settings.unknown() == [
        "KAFKA_BOOTSTRAP_SERVER",
        "STREAMSDATADIR",
        "STREAMS_PARTITION",
        "STREAM_WEB_PORT",
        "encharge_key",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("STREAMS_SORCE_TOPIC", "STREAMS_SOURCE_TOPIC"),
        ("ENCHARGE_APIKEY", "ENCHARGE_API_KEY"),
        ("encharge_api_key_", "ENCHARGE_API_KEY"),
        ("STREAMS_NONSENSE", None),
    ],
)
def test_what_a_misspelt_variable_was_to_be(name: str, meant: str | None) -> None:
    assert settings.meant_by(name) == meant


def test_what_sasl_needs_is_told_beside_what_else_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "nonsense")
    monkeypatch.setenv("STREAMS_PARTITIONS", "0")
    with pytest.raises(SettingsError) as caught:
        load()
    mechanism, password, partitions = caught.value.args
    assert mechanism.startswith("KAFKA_SASL_MECHANISM: must be one of")
    assert password.endswith("SASL_SSL needs KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD")
    assert partitions.startswith("STREAMS_PARTITIONS: ")


@pytest.mark.parametrize(
    ("source", "named", "found"),
    [
        ("events", None, "events"),
        (" events, ", None, "events"),
        ("a,b", "a", "a"),
        ("^x", "x-1", "x-1"),
        ("a,b", None, None),
        ("^x", None, None),
        (",", None, None),
    ],
)
def test_the_gateway_writes_to_one_topic(source: str, named: str | None, found: str | None) -> None:
    settings = load({"streams_source_topic": source, "streams_gateway_topic": named})
    if found is None:
        with pytest.raises(SettingsError, match="STREAMS_GATEWAY_TOPIC: is required"):
            _ = settings.gateway_topic
    else:
        assert settings.gateway_topic == found


def test_the_page_on_the_gateway_has_its_settings_and_their_defaults() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text()
    for name, default, _ in settings.describe():
        if name.startswith("STREAMS_GATEWAY_M") or name == "STREAMS_WRITE_KEYS":
            assert f"| `{name}` | {default} |" in page
        elif name.startswith("STREAMS_GATEWAY_"):
            assert f"`{name}`" in page
