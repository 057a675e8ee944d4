"""Every setting. A variable is the field's name in capitals; ``.env.example`` explains each."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from dotenv.parser import parse_stream
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from talksy.config import fields as f
from talksy.config.faults import SettingsError, read_faults
from talksy.config.redis import PORT, redis_at
from talksy.config.secret import MIN_BYTES, kept_secret, weakness

DEFAULT_PROMPT = (
    "You are Talksy, a friendly and precise assistant. Answer in the language you are asked in, "
    "and say so when you do not know."
)
DATA_DIR = Path("data")
ENVIRONMENT_NAMES = frozenset({"TALKSY_ENV", "NODE_ENV"})
EXAMPLE_KEYS = ("your_", "your-", "sk-your", "gsk_your")
MAKE_ONE = "make one with `openssl rand -base64 48`"


def _production(data: Mapping[str, Any]) -> bool:
    return data.get("talksy_env") == "production"


def _derived(given: Mapping[str, str]) -> dict[str, str]:
    """The defaults that depend on other settings."""
    environment = given.get("TALKSY_ENV", given.get("NODE_ENV", "development")).lower()
    production = environment == "production"
    terminal = environment == "development" and sys.stdout.isatty()
    return {
        "CORS_ORIGIN": "" if production else "*",
        "GUESTS_ENABLED": "no" if production else "yes",
        "AI_MOCK_DIRECTIVES": "no" if production else "yes",
        "LOG_FORMAT": "text" if terminal else "json",
        "DATABASE_URL": f"sqlite:///{Path(given.get('DATA_DIR', DATA_DIR)).expanduser()}/talksy.db",
    }


class Settings(BaseModel):
    """The settings of one process, made by ``load``.

    Names in ``_ms`` are milliseconds and ``jwt_*_expiry`` seconds. A field without a default here
    has one that depends on other settings.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", validate_default=True, alias_generator=str.upper
    )

    talksy_env: f.Environment = Field(
        "development", validation_alias=AliasChoices("TALKSY_ENV", "NODE_ENV")
    )
    host: str = "localhost"
    port: int = Field(3000, ge=0, le=65_535)
    cors_origin: f.Origins
    trusted_proxies: f.Networks = ()
    node_name: f.Name | None = None
    tls_cert: f.File | None = None
    tls_key: f.File | None = None
    log_level: f.LogLevel = "info"
    log_format: f.LogFormat
    shutdown_timeout_ms: f.Milliseconds = 10_000
    metrics_token: SecretStr | None = Field(None, repr=False)
    otel_exporter_otlp_endpoint: f.Url | None = Field(None, repr=False)

    data_dir: f.Folder = DATA_DIR
    database_url: f.DatabaseUrl = Field(repr=False)
    database_pool_size: int = Field(10, ge=1, le=1_000)
    database_migrate: bool = True
    redis_enabled: bool | None = None
    redis_host: str | None = None
    redis_port: int = Field(PORT, ge=1, le=65_535)
    redis_password: SecretStr | None = Field(None, repr=False)
    redis_url: f.RedisUrl | None = Field(None, repr=False)
    """Where Redis stands after all, None where there is none."""
    node_lease_ms: int = Field(10_000, ge=1_000, le=60_000)

    openai_api_key: SecretStr | None = Field(None, repr=False)
    openai_base_url: f.Url | None = Field(None, repr=False)
    openai_model: str = "gpt-4o-mini"
    openai_max_tokens: f.Count = 1_000
    openai_temperature: float | None = Field(None, ge=0, le=2)
    groq_api_key: SecretStr | None = Field(None, repr=False)
    groq_base_url: f.Host | None = Field(None, repr=False)
    groq_model: str = "openai/gpt-oss-120b"
    groq_max_tokens: f.Count = 1_000
    groq_temperature: float | None = Field(None, ge=0, le=2)
    groq_max_requests_per_minute: f.Count = 30
    ai_provider: f.ModelNames = ()
    ai_models: f.ModelNames = ()
    ai_plugin_options: f.Options = Field({}, repr=False)
    ai_connect_timeout_ms: f.Milliseconds = 5_000
    ai_first_token_timeout_ms: f.Milliseconds = 20_000
    ai_gap_timeout_ms: f.Milliseconds = 15_000
    ai_failure_after_first_token: f.OnFailure = Field("reset")
    ai_mock_response_delay_ms: f.MillisecondsOrOff = 30
    ai_mock_directives: bool
    ai_context_tokens: f.Count = 8_000
    system_prompt: f.Text = Field(DEFAULT_PROMPT, repr=False)
    turn_timeout_ms: f.Milliseconds = 120_000
    stream_coalesce_ms: f.MillisecondsOrOff = 30
    stream_coalesce_bytes: int = Field(64, ge=0, le=100_000)

    stt_provider: f.ModelNames = ()
    stt_timeout_ms: f.Milliseconds = 10_000
    stt_grammar: f.Grammar | None = None
    stt_workers: f.Count = 2
    tts_provider: f.ModelNames = ()
    tts_timeout_ms: f.Milliseconds = 5_000
    voice_max_streams: f.Count = 100
    voice_warm_detectors: int = Field(2, ge=0, le=1_000)

    tool_modules: f.Modules = ()
    tool_sandboxed_modules: f.Parts = ()
    tool_mcp_servers: f.Servers = Field({}, repr=False)
    tool_execution_timeout_ms: f.Milliseconds = 30_000
    tool_approval_timeout_ms: f.Milliseconds = 300_000
    tool_max_steps: int = Field(8, ge=1, le=100)
    tool_max_parameter_size: f.Bytes = 1_048_576
    tool_max_result_size: f.Bytes = 65_536
    tool_max_concurrent_executions: f.Count = 5
    tool_max_concurrent_per_user: f.Count = 10
    tool_max_concurrent_per_node: f.Count = 100
    tool_sandbox_memory_mb: int = Field(256, ge=32, le=65_536)
    tool_fetch_url_enabled: bool = False

    jwt_secret: f.Secrets = Field((), repr=False)
    """The first signs, all verify. Never empty after ``load``."""
    jwt_access_expiry: f.Seconds = 15 * 60
    jwt_refresh_expiry: f.Seconds = 7 * 86_400
    jwt_refresh_grace_ms: f.MillisecondsOrOff = 10_000
    guests_enabled: bool
    guest_token_expiry: f.Seconds = 30 * 86_400
    bcrypt_rounds: int = Field(12, ge=4, le=15)
    auth_cache_enabled: bool = True
    auth_cache_user_ttl_ms: f.Milliseconds = 300_000
    auth_cache_user_max_size: f.Count = 1_000
    auth_cache_token_ttl_ms: f.Milliseconds = 300_000
    auth_cache_token_max_size: f.Count = 5_000
    auth_register_per_minute: f.Count = 60
    auth_login_per_minute: f.Count = 60
    auth_login_failures: f.Count = 10
    auth_guests_per_minute: f.Count = 60

    session_ttl_ms: f.Milliseconds = 900_000
    session_disconnect_grace_ms: f.MillisecondsOrOff = 300_000
    session_max_age_ms: f.Milliseconds = 86_400_000
    session_max_history: f.Count = 100
    max_sessions_per_user: f.Count = 20
    max_sessions_per_node: f.Count = 10_000
    max_sockets_per_user: f.Count = 20
    max_sockets_per_address: f.Count = 100
    max_guests_per_address: f.Count = 10

    rate_limit_max_requests: f.Count = 10
    rate_limit_window_ms: f.Milliseconds = 60_000
    rate_limit_reads_per_minute: f.Count = 600
    message_max_chars: f.Count = 32_000
    max_body_bytes: f.Bytes = 100_000
    max_packet_bytes: f.Bytes = 2_000_000
    ping_interval_ms: f.Milliseconds = 10_000
    ping_timeout_ms: f.Milliseconds = 5_000
    connect_timeout_ms: f.Milliseconds = 10_000
    slow_consumer_ms: f.Milliseconds = 30_000
    socketio_transport: Literal["own", "library"] = "own"

    @classmethod
    def load(
        cls, environ: Mapping[str, str] | None = None, env_file: str | Path | None = ".env"
    ) -> Self:
        """The settings of ``environ`` (the process's own by default), then of ``env_file``.

        An empty variable counts as unset. Outside production a missing ``JWT_SECRET`` is made once
        and kept in ``DATA_DIR``. Raises ``SettingsError`` with every fault.
        """
        given, faults = _read_file(env_file)
        outer = _filled(os.environ if environ is None else environ)
        if not ENVIRONMENT_NAMES.isdisjoint(outer):
            # By whichever of its names, it goes before the file's.
            given = {name: value for name, value in given.items() if name not in ENVIRONMENT_NAMES}
        given |= outer
        try:
            settings = cls.model_validate(_derived(given) | given)
        except ValidationError as error:
            faults += read_faults(error, cls.model_fields, given)
        # Raised out here, the error drags no other along that would show the values.
        if faults:
            raise SettingsError(faults)
        if settings.jwt_secret:
            return settings
        secret = SecretStr(_kept_secret(settings.data_dir))
        return settings.model_copy(update={"jwt_secret": (secret,)})

    @property
    def shares_database(self) -> bool:
        """Whether other nodes may have the database, too."""
        return not self.database_url.startswith("sqlite")

    @property
    def providers(self) -> tuple[str, ...]:
        """Who answers: what ``AI_PROVIDER`` says, else whoever there is a key for, else mock."""
        return self.ai_provider or self._keyed

    @property
    def hearers(self) -> tuple[str, ...]:
        """Who hears: what ``STT_PROVIDER`` says, else as ``providers``."""
        return self.stt_provider or self._keyed

    @property
    def speakers(self) -> tuple[str, ...]:
        """Who speaks: what ``TTS_PROVIDER`` says, else as ``providers``."""
        return self.tts_provider or self._keyed

    @property
    def _keyed(self) -> tuple[str, ...]:
        keys = {"openai": self.openai_api_key, "groq": self.groq_api_key}
        return tuple(name for name, key in keys.items() if key) or ("mock",)

    @field_validator("cors_origin")
    @classmethod
    def _check_origins(cls, origins: f.Origins, info: ValidationInfo) -> f.Origins:
        if _production(info.data) and (not origins or "*" in origins):
            raise ValueError(
                "must name the pages that may connect in production, "
                "such as https://app.example.com"
            )
        return origins

    @field_validator("tls_key")
    @classmethod
    def _check_pair(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if "tls_cert" in info.data and bool(key) != bool(info.data["tls_cert"]):
            raise ValueError("and TLS_CERT go together: give both, or none")
        return key

    @field_validator("metrics_token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token and not re.fullmatch(r"[\x21-\x7e]{16,}", token.get_secret_value()):
            raise ValueError(f"is not 16 or more ASCII characters without blanks: {MAKE_ONE}")
        return token

    @field_validator("redis_url")
    @classmethod
    def _find_redis(cls, url: str | None, info: ValidationInfo) -> str | None:
        enabled, host = info.data.get("redis_enabled"), info.data.get("redis_host")
        if enabled is False:
            return None
        if url is None and (enabled or host):
            password = info.data.get("redis_password")
            plain = password.get_secret_value() if password else None
            return redis_at(host or "localhost", info.data.get("redis_port", PORT), plain)
        return url

    @field_validator("openai_api_key", "groq_api_key")
    @classmethod
    def _check_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key and key.get_secret_value().lower().startswith(EXAMPLE_KEYS):
            raise ValueError("is the one of an example: give a real one, or leave it empty")
        return key

    @field_validator("ai_provider")
    @classmethod
    def _check_provider(cls, names: f.ModelNames, info: ValidationInfo) -> f.ModelNames:
        _check_keys(names, info.data)
        keys = (info.data.get("openai_api_key"), info.data.get("groq_api_key"))
        if not names and not any(keys) and _production(info.data):
            raise ValueError(
                "is missing: set OPENAI_API_KEY or GROQ_API_KEY, or say AI_PROVIDER=mock to run "
                "production on the mock model"
            )
        return tuple(name if ":" in name else name.lower() for name in names)

    @field_validator("ai_models", "stt_provider", "tts_provider")
    @classmethod
    def _check_models(cls, names: f.ModelNames, info: ValidationInfo) -> f.ModelNames:
        _check_keys(names, info.data)
        return names

    @field_validator("jwt_secret")
    @classmethod
    def _check_secrets(cls, values: f.Secrets, info: ValidationInfo) -> f.Secrets:
        if len(values) > 2:
            raise ValueError("has more than two secrets: the first signs, the other still verifies")
        if not _production(info.data):
            return values
        if not values:
            raise ValueError(f"is missing: {MAKE_ONE}")
        for value in values:
            if reason := weakness(value.get_secret_value()):
                raise ValueError(f"{reason}: {MAKE_ONE}")
        return values


def unknown_names(env_file: str | Path | None = ".env") -> dict[str, str | None]:
    """What ``env_file`` sets that is no setting: most likely a slip of the pen.

    Each name with the nearest one that there is, None where none is near.
    """
    known = {name.upper() for name in Settings.model_fields} | ENVIRONMENT_NAMES
    given, _ = _read_file(env_file)
    return {
        name: next(iter(get_close_matches(name.upper(), known, n=1, cutoff=0.75)), None)
        for name in given
        if name not in known
    }


def _check_keys(names: Iterable[str], data: Mapping[str, Any]) -> None:
    for vendor in {name.partition(":")[0].lower() for name in names} & {"openai", "groq"}:
        if not (data.get(f"{vendor}_api_key") or data.get(f"{vendor}_base_url")):
            name = vendor.upper()
            raise ValueError(f"needs {name}_API_KEY, or {name}_BASE_URL of a server without keys")


def _kept_secret(folder: Path) -> str:
    try:
        secret = kept_secret(folder)
    except OSError as error:
        fault = (
            f"JWT_SECRET is not set and cannot be kept in DATA_DIR={folder} ({error.strerror}): "
            f"{MAKE_ONE}, or set DATA_DIR to a folder of yours"
        )
        raise SettingsError([fault]) from None
    if len(secret) < MIN_BYTES:
        raise SettingsError([f"JWT_SECRET in {folder / 'jwt_secret'} is too short: delete it"])
    return secret


def _filled(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value.strip() for name, value in values.items() if value and value.strip()}


def _read_file(path: str | Path | None) -> tuple[dict[str, str], list[str]]:
    """What the file sets, and its faults; nothing where there is no file."""
    if path is None or not Path(path).is_file():
        return {}, []
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            lines = list(parse_stream(file))
    except (OSError, UnicodeDecodeError):
        return {}, [f"{path} cannot be read: it must be yours to read, and UTF-8"]
    # The line itself stays unsaid: it may be a secret.
    faults = [f"{path} line {line.original.line} is not NAME=value" for line in lines if line.error]
    return _filled({line.key: line.value for line in lines if line.key}), faults
