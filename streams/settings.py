"""Every setting, in one place. Nothing else in this program reads the environment."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.errors import SettingsError
from streams.faults import closest
from streams.gateway.auth import WriteKeys

SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
SASL_PROTOCOLS = frozenset({"SASL_PLAINTEXT", "SASL_SSL"})
SSL_PROTOCOLS = frozenset({"SSL", "SASL_SSL"})

WHERE_FROM = {
    "encharge_api_key": "take it from Encharge > Settings > Your account",
    "usercom_api_key": "take it from User.com > App settings > Advanced > Public REST API keys",
    "usercom_api_url": "it is https://<your subdomain>.user.com",
}
"""Settings without which there is no destination of their type, and what to do about it."""


class TableStore(StrEnum):
    """Where tables live on this machine."""

    ROCKSDB = "rocksdb"
    MEMORY = "memory"


class SecurityProtocol(StrEnum):
    """How to talk to Kafka."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class LogFormat(StrEnum):
    """How a log line looks."""

    JSON = "json"
    CONSOLE = "console"


class PublishFormat(StrEnum):
    """How an event is written to a published topic."""

    JSON = "json"
    AVRO = "avro"


class Settings(BaseSettings):
    """The settings of a worker; field names are the variables' names in lower case.

    An empty variable counts as unset. Immutable.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        case_sensitive=False,
        hide_input_in_errors=True,
    )

    # Kafka
    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="brokers, comma-separated")
    kafka_security_protocol: SecurityProtocol = Field(
        SecurityProtocol.PLAINTEXT, description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: str | None = Field(
        None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_sasl_username: str | None = Field(None, description="SASL user")
    kafka_sasl_password: SecretStr | None = Field(
        None, validate_default=True, description="SASL password"
    )
    kafka_ssl_ca: Path | None = Field(None, description="file with the CA of the brokers")
    kafka_ssl_cert: Path | None = Field(None, description="file with this client's certificate")
    kafka_ssl_key: Path | None = Field(None, description="file with this client's key")

    # The schema registry
    schema_registry_url: SecretStr | None = Field(
        None, description="schema registry, for Avro in Confluent wire format"
    )
    schema_registry_username: str | None = Field(None, description="its user; may be in the URL")
    schema_registry_password: SecretStr | None = Field(
        None, description="its password; may be in the URL"
    )

    streams_session_seconds: float = Field(
        10.0, ge=1, description="silence after which Kafka gives a worker's partitions away"
    )

    # Topics and state
    streams_source_topic: str = Field(
        "segment-events", description="topic, comma-separated list, or pattern that starts with ^"
    )
    streams_app_id: str = Field(
        "encharge-streams",
        pattern=r"^[A-Za-z0-9._-]{1,180}$",
        description="consumer group and prefix of internal topics",
    )
    streams_dlq_topic: str | None = Field(
        None, description="dead letters; unset: <app id>-dead-letters"
    )
    streams_partitions: int = Field(8, ge=1, description="partitions of internal topics")
    streams_replication_factor: int | None = Field(
        None, ge=1, description="of internal topics; unset: 3, or the number of brokers if fewer"
    )
    streams_data_dir: Path = Field(Path("./.streams"), description="table stores")
    streams_table_store: TableStore = Field(TableStore.ROCKSDB, description="rocksdb or memory")

    # What is sent
    streams_config: Path | None = Field(
        None, description="YAML file with destinations, subscriptions and mappings"
    )

    # Events
    streams_max_event_bytes: int = Field(
        32 * 1024,
        ge=1,
        # With its header an event must fit into a record of the stage topic.
        le=900_000,
        description="larger events become dead letters",
    )
    streams_dedup_seconds: int = Field(
        86_400, ge=1, description="how long a messageId is remembered"
    )
    streams_publish_actions: bool = Field(
        False, description="also publish the resolved events to <app id>-<action> topics"
    )
    streams_publish_format: PublishFormat = Field(
        PublishFormat.JSON, description="... as json or avro"
    )
    streams_avro_schemas: Path | None = Field(
        None, description="folder of .avsc files: more schemas for single-object encoding"
    )

    # Windows and delivery
    streams_batch_max_events: int = Field(500, ge=1, description="window: flushed at this many")
    streams_batch_max_bytes: int = Field(
        2 * 1024 * 1024, ge=1, description="window: flushed at this size of its events"
    )
    streams_batch_max_seconds: float = Field(1.0, gt=0, description="window: flushed at this age")
    streams_coalesce: bool = Field(
        True, description="merge adjacent identifies of one person inside a window"
    )
    streams_people_bulk: bool = Field(
        False, description="send a window's identifies as arrays to POST /v1/people"
    )
    streams_people_bulk_size: int = Field(100, ge=2, description="people in one array, at most")
    streams_dry_run: bool = Field(False, description="everything but the call")
    streams_max_concurrency: int = Field(64, ge=1, description="open requests to a destination")
    streams_max_requests_per_second: float | None = Field(
        None, gt=0, description="to a destination; unset: no limit"
    )
    streams_max_requests_burst: int | None = Field(
        None, ge=1, description="... at once after a pause; unset: a tenth of a second's worth"
    )
    streams_circuit_failures: int = Field(
        10,
        ge=1,
        description="people in a row without an answer, or with a 5xx, after which only probes go",
    )
    streams_max_waiting_events: int = Field(
        4_000, ge=1, description="unsettled events of a partition before it pauses"
    )
    streams_request_timeout_seconds: float = Field(30.0, gt=0, description="of one request")
    streams_retry_max_seconds: float = Field(
        14_400,
        gt=0,
        description="then a failing event is dead-lettered; outages do not count",
    )
    streams_dlq_breaker_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of dead letters that stops the worker; 0: none does",
    )
    streams_dlq_breaker_events: int = Field(100, ge=1, description="... of at least so many events")
    streams_dlq_breaker_seconds: float = Field(
        300.0, gt=0, description="... within so many seconds"
    )
    streams_drain_seconds: float = Field(
        25.0, ge=0, description="how long a stop or rebalance waits for what was started"
    )

    # Encharge
    encharge_api_key: SecretStr | None = Field(
        None, description="required for a destination of type encharge (the default)"
    )
    encharge_write_key: SecretStr | None = Field(
        None, description="for the ingest host; unset: the API key"
    )
    encharge_api_url: str = Field("https://api.encharge.io", description="REST host")
    encharge_ingest_url: str = Field("https://ingest.encharge.io/v1", description="ingest endpoint")

    # User.com
    usercom_api_key: SecretStr | None = Field(
        None, description="required for a destination of type user.com"
    )
    usercom_api_url: str | None = Field(
        None, description="required too: https://<your subdomain>.user.com"
    )

    # The gateway
    streams_write_keys: SecretStr | None = Field(
        None,
        description="gateway: accepted write keys, comma-separated, each key or key:source-name; "
        "none refuses everything but --open",
    )
    streams_gateway_host: str = Field("0.0.0.0", description="gateway: address")  # noqa: S104
    streams_gateway_port: int = Field(
        8088, ge=0, le=65535, description="gateway: port; 0 chooses a free one"
    )
    streams_gateway_topic: str | None = Field(
        None, description="gateway: topic to write to; unset: the one of STREAMS_SOURCE_TOPIC"
    )
    streams_gateway_confirm_seconds: float = Field(
        # Below the ten seconds after which clients give a request up.
        5.0,
        gt=0,
        description="gateway: how long a request waits for Kafka before it is answered 503",
    )
    streams_gateway_max_waiting_events: int = Field(
        4_000,
        ge=1,
        description="gateway: events underway before more are answered 429; "
        "a request counts as ten more",
    )
    streams_gateway_max_waiting_bytes: int = Field(
        32 * 1024 * 1024, ge=1, description="gateway: bytes underway before more are answered 429"
    )
    streams_gateway_max_events_per_second: float | None = Field(
        None, gt=0, description="gateway: of one source; unset: no limit"
    )

    # Operation
    streams_web_host: str = Field("0.0.0.0", description="page, /healthz, /readyz, /metrics")  # noqa: S104
    streams_web_port: int = Field(6066, ge=0, le=65535, description="0 chooses a free port")
    streams_web_token: SecretStr | None = Field(
        None,
        description="opens dead letters, people and redriving on the page; 16 characters or more; "
        "unset: the page shows counts only",
    )
    streams_log_level: str = Field("info", description="debug, info, warning or error")
    streams_log_format: LogFormat | None = Field(
        None, description="json or console; unset: json unless a terminal"
    )

    @field_validator("kafka_security_protocol", "kafka_sasl_mechanism", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for address in value.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"{address.strip()!r} is not host:port")
        return value

    @field_validator("kafka_sasl_mechanism")
    @classmethod
    def _known_mechanism(cls, value: str | None) -> str | None:
        if value is not None and value not in SASL_MECHANISMS:
            raise ValueError(f"must be one of {', '.join(SASL_MECHANISMS)}")
        return value

    @field_validator("streams_log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        level = value.lower()
        if level not in {"debug", "info", "warning", "error"}:
            raise ValueError("must be debug, info, warning or error")
        return level

    @field_validator("streams_write_keys")
    @classmethod
    def _write_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            WriteKeys(value.get_secret_value())
        return value

    @field_validator("streams_web_token")
    @classmethod
    def _web_token(cls, value: SecretStr | None) -> SecretStr | None:
        # It travels in a header.
        if value is not None and not re.fullmatch(r"[!-~]{16,}", value.get_secret_value()):
            raise ValueError("must be 16 or more letters, digits or signs of ASCII, without spaces")
        return value

    @field_validator("encharge_api_url", "encharge_ingest_url", "usercom_api_url")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        return None if value is None else _checked_url(value)

    @field_validator("schema_registry_url")
    @classmethod
    def _registry_url(cls, value: SecretStr | None) -> SecretStr | None:
        return value and SecretStr(_checked_url(value.get_secret_value()))

    @field_validator("kafka_sasl_password")
    @classmethod
    def _sasl_is_complete(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        # At the last one of the four: a check of the whole would wait for all else to be right.
        protocol = info.data.get("kafka_security_protocol")
        given = {**info.data, "kafka_sasl_password": value}
        missing = [
            name.upper()
            for name in ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password")
            # What is not in it is wrong, and told already.
            if name in given and not given[name]
        ]
        if protocol in SASL_PROTOCOLS and missing:
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={protocol} needs {', '.join(missing)}")
        return value

    # -- derived names

    @property
    def dlq_topic(self) -> str:
        """Where dead letters go."""
        return self.streams_dlq_topic or f"{self.streams_app_id}-dead-letters"

    @property
    def stage_topic(self) -> str:
        """The person-keyed topic between ingest and resolve."""
        return f"{self.streams_app_id}-events"

    @property
    def resolved_topic(self) -> str:
        """Between resolve and the groups of the destinations, where there are several."""
        return f"{self.streams_app_id}-resolved"

    def of_group(self, destination: str) -> Settings:
        """These settings for the consumer group of one of several destinations."""
        return self.model_copy(
            update={
                "streams_app_id": f"{self.streams_app_id}-{destination}",
                "streams_dlq_topic": self.dlq_topic,
            }
        )

    @property
    def gateway_topic(self) -> str:
        """The topic that the gateway writes to. Raises ``SettingsError`` when it is not clear."""
        if self.streams_gateway_topic:
            return self.streams_gateway_topic
        name = self.streams_source_topic.strip().strip(",").strip()
        if not name or name.startswith("^") or "," in name:
            raise SettingsError(
                f"STREAMS_GATEWAY_TOPIC: is required where STREAMS_SOURCE_TOPIC={name} "
                "is not one topic"
            )
        return name

    def needed(self, name: str) -> str:
        """One of :data:`WHERE_FROM`. Raises ``SettingsError`` when it is not set."""
        value = getattr(self, name)
        if value is None:
            raise SettingsError(is_required(name))
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

    def with_placeholders(self) -> Settings:
        """With texts in place of missing ones of :data:`WHERE_FROM`, where nothing is sent."""
        missing = {name: f"<{name.upper()}>" for name in WHERE_FROM if getattr(self, name) is None}
        if "usercom_api_url" in missing:
            missing["usercom_api_url"] = "https://subdomain.user.com"
        return self.model_copy(
            update={k: SecretStr(v) if k.endswith("_key") else v for k, v in missing.items()}
        )

    @property
    def api_key(self) -> str:
        """The key of Encharge's REST host. Raises ``SettingsError`` when it is not set."""
        return self.needed("encharge_api_key")

    @property
    def write_key(self) -> str:
        """The key of Encharge's ingest host."""
        if self.encharge_write_key is None:
            return self.api_key
        return self.encharge_write_key.get_secret_value()

    @property
    def registry_url(self) -> str | None:
        """The address of the schema registry, without a login."""
        if self.schema_registry_url is None:
            return None
        url = urlsplit(self.schema_registry_url.get_secret_value())
        return urlunsplit(url._replace(netloc=url.netloc.rpartition("@")[2]))

    @property
    def registry_login(self) -> tuple[str, str] | None:
        """User and password for the schema registry: its own settings, else those of the URL."""
        if self.schema_registry_url is None:
            return None
        url = urlsplit(self.schema_registry_url.get_secret_value())
        user = self.schema_registry_username or unquote(url.username or "")
        password = unquote(url.password or "")
        if self.schema_registry_password is not None:
            password = self.schema_registry_password.get_secret_value()
        return (user, password) if user else None

    def kafka_client_options(self) -> dict[str, Any]:
        """Addresses and security, as aiokafka's clients take them.

        Raises ``SettingsError`` when a certificate file cannot be read.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers,
            "security_protocol": str(self.kafka_security_protocol),
        }
        if self.kafka_security_protocol in SASL_PROTOCOLS:
            assert self.kafka_sasl_password is not None  # noqa: S101 - checked on construction
            options |= {
                "sasl_mechanism": self.kafka_sasl_mechanism,
                "sasl_plain_username": self.kafka_sasl_username,
                "sasl_plain_password": self.kafka_sasl_password.get_secret_value(),
            }
        if self.kafka_security_protocol in SSL_PROTOCOLS:
            options["ssl_context"] = self.kafka_ssl_context()
        return options

    def kafka_ssl_context(self) -> ssl.SSLContext:
        """TLS towards Kafka: the system's CAs or KAFKA_SSL_CA, and a client certificate if set."""
        try:
            context = ssl.create_default_context(cafile=self.kafka_ssl_ca)
            if self.kafka_ssl_cert is not None:
                context.load_cert_chain(self.kafka_ssl_cert, self.kafka_ssl_key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"KAFKA_SSL_CA, KAFKA_SSL_CERT, KAFKA_SSL_KEY: {error}") from error
        return context


def _checked_url(value: str) -> str:
    try:
        url = urlsplit(value)
        is_complete = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from error
    if not is_complete:
        raise ValueError("must be http:// or https:// and a host")
    return value.rstrip("/")


def is_required(name: str) -> str:
    """That a setting is missing, for a person."""
    return f"{name.upper()}: is required; {WHERE_FROM[name]}"


def load(overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings from the environment.

    ``overrides`` are keyed by field name and win. Raises ``SettingsError`` with every
    variable at fault.
    """
    try:
        return Settings(**(overrides or {}))
    except ValidationError as error:
        raise SettingsError(*map(_complaint, error.errors())) from error


def of_destination(settings: Settings, overrides: Mapping[str, str]) -> Settings:
    """``settings`` with those that are different for one destination, by variable's name.

    Raises ``SettingsError`` with each that is at fault.
    """
    if not overrides:
        return settings
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return load(values | {name.lower(): text for name, text in overrides.items()})


def at_fault(settings: Settings, trouble: str) -> str:
    """The settings to look at when Kafka does not do what is asked."""
    if settings.kafka_security_protocol in SASL_PROTOCOLS and "uth" in trouble:
        return "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"
    return f"KAFKA_BOOTSTRAP_SERVERS={settings.kafka_bootstrap_servers}"


DEFAULTS = Settings.model_construct()

PER_DESTINATION = frozenset(
    name.upper()
    for name in Settings.model_fields
    if name.startswith(
        (
            "encharge_",
            "usercom_",
            "streams_batch_",
            "streams_circuit_",
            "streams_coalesce",
            "streams_max_concurrency",
            "streams_max_requests_",
            "streams_people_",
            "streams_request_",
            "streams_retry_",
        )
    )
)
"""Settings that one of several destinations may have of its own."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def expand(text: str) -> str:
    """``text`` with each ``${NAME}`` replaced by that environment variable.

    Raises ``SettingsError`` when one is not set.
    """

    def value(found: re.Match[str]) -> str:
        known = given(found[1].upper())
        if known is None:
            raise SettingsError(f"{found[1]} is not set in the environment")
        return known

    return _VARIABLE.sub(value, text)


def given(name: str) -> str | None:
    """One variable as it stands, for when another one is wrong. An empty one is unset."""
    return next((text for key, text in os.environ.items() if key.upper() == name and text), None)


def unknown() -> list[str]:
    """Variables that look like settings of this program and are none: most likely misspelt."""
    known = _names()
    return sorted(
        name
        for name in os.environ
        if name.upper() not in known
        and (
            name.upper().startswith(("STREAMS_", "ENCHARGE_", "USERCOM_"))
            # Others use variables of their own: one that begins otherwise has to be very close.
            or closest(name, known, cutoff=0.9)
        )
    )


def meant_by(name: str) -> str | None:
    """The setting that an unknown variable is most likely a misspelling of."""
    return closest(name, _names(), cutoff=0.8)


def _names() -> set[str]:
    return {name.upper() for name in Settings.model_fields}


def _complaint(detail: Any) -> str:
    name = ".".join(str(part) for part in detail["loc"]).upper()
    text = detail["msg"].removeprefix("Value error, ")
    return f"{name}: {text}" if name else text


def describe() -> list[tuple[str, str, str]]:
    """(name, default, meaning) of every setting, for ``--help`` and the documentation."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "none" if field.default is None else str(field.default)
        if isinstance(field.default, bool):
            default = default.lower()
        rows.append((name.upper(), default, field.description or ""))
    return rows
