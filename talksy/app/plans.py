"""What the settings come to, for each part in its own words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from talksy.ai.llm import Plan, Silence
from talksy.config import Settings
from talksy.gateway import Caps, Rules
from talksy.journal import Bounds
from talksy.sessions import Life
from talksy.tools import ToolBounds
from talksy.tools.sandbox import SandboxBounds
from talksy.transports.socketio import Limits
from talksy.voice.opening import VoicePlan


def model_plan(settings: Settings) -> Plan:
    """Which models there are, and how they are asked."""
    return Plan(
        usual=settings.providers,
        others=settings.ai_models,
        options=model_options(settings),
        per_minute={"groq": settings.groq_max_requests_per_minute},
        makeshift={"mock"} if settings.talksy_env == "production" else (),
        silence=Silence(
            first_token=settings.ai_first_token_timeout_ms / 1000,
            gap=settings.ai_gap_timeout_ms / 1000,
        ),
        reset=settings.ai_failure_after_first_token == "reset",  # noqa: S105
    )


def model_options(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """What each vendor's models are opened with."""
    longest = max(settings.ai_first_token_timeout_ms, settings.ai_gap_timeout_ms) / 1000
    times = {
        "connect_timeout": settings.ai_connect_timeout_ms / 1000,
        # What is silent is left earlier: this is for what nobody waits for.
        "read_timeout": 2 * longest,
    }
    return {
        **settings.ai_plugin_options,
        "mock": {
            "delay_ms": settings.ai_mock_response_delay_ms,
            "directives": settings.ai_mock_directives,
        },
        "openai": {
            "api_key": shown(settings.openai_api_key),
            "model": settings.openai_model,
            "base_url": settings.openai_base_url,
            "max_tokens": settings.openai_max_tokens,
            "temperature": settings.openai_temperature,
            **times,
        },
        "groq": {
            "api_key": shown(settings.groq_api_key),
            "model": settings.groq_model,
            "base_url": settings.groq_base_url,
            "max_tokens": settings.groq_max_tokens,
            "temperature": settings.groq_temperature,
            **times,
        },
    }


def voice_plan(settings: Settings) -> VoicePlan:
    """Who hears and speaks, and with what."""
    options = model_options(settings)
    vendors = {
        name: {key: options[name][key] for key in ("api_key", "base_url", "connect_timeout")}
        for name in ("openai", "groq")
    }
    offline = {**_listening(settings.stt_grammar), "workers": settings.stt_workers}
    return VoicePlan(
        stt=settings.hearers,
        tts=settings.speakers,
        stt_options={**settings.ai_plugin_options, **vendors, "offline": offline},
        tts_options={**settings.ai_plugin_options, **vendors},
        stt_seconds=settings.stt_timeout_ms / 1000,
        tts_seconds=settings.tts_timeout_ms / 1000,
        streams=settings.voice_max_streams,
        warm=settings.voice_warm_detectors,
    )


def _listening(grammar: Path | Mapping[str, float | None] | None) -> dict[str, Any]:
    """What the offline recogniser listens for; nothing for free speech."""
    if isinstance(grammar, Path):
        return {"grammar": grammar.read_text(encoding="utf-8")}
    return {"keyphrases": grammar} if grammar else {}


def life(settings: Settings) -> Life:
    """How long sessions live."""
    return Life(
        idle_ms=settings.session_ttl_ms,
        grace_ms=settings.session_disconnect_grace_ms,
        age_ms=settings.session_max_age_ms,
        per_user=settings.max_sessions_per_user,
        per_node=settings.max_sessions_per_node,
    )


def tool_bounds(settings: Settings) -> ToolBounds:
    """What calls of tools may take."""
    return ToolBounds(
        seconds=settings.tool_execution_timeout_ms / 1000,
        parameter_bytes=settings.tool_max_parameter_size,
        result_bytes=settings.tool_max_result_size,
        per_session=settings.tool_max_concurrent_executions,
        per_user=settings.tool_max_concurrent_per_user,
        per_node=settings.tool_max_concurrent_per_node,
    )


def sandbox_bounds(settings: Settings) -> SandboxBounds:
    """What code may take that is not trusted."""
    return SandboxBounds(
        memory=settings.tool_sandbox_memory_mb << 20,
        children=settings.tool_max_concurrent_per_node,
    )


def bounds(settings: Settings) -> Bounds:
    """What a turn may take."""
    return Bounds(
        seconds=settings.turn_timeout_ms / 1000,
        coalesce_ms=settings.stream_coalesce_ms,
        coalesce_bytes=settings.stream_coalesce_bytes,
    )


def rules(settings: Settings) -> Rules:
    """What the door allows."""
    return Rules(
        messages=settings.rate_limit_max_requests,
        messages_ms=settings.rate_limit_window_ms,
        reads=settings.rate_limit_reads_per_minute,
        newcomers=settings.auth_guests_per_minute,
        max_chars=settings.message_max_chars,
        history=settings.session_max_history,
        context_tokens=settings.ai_context_tokens,
        system_prompt=settings.system_prompt,
    )


def caps(settings: Settings) -> Caps:
    """How many sockets there may be."""
    return Caps(
        per_user=settings.max_sockets_per_user,
        per_address=settings.max_sockets_per_address,
        guests_per_address=settings.max_guests_per_address,
    )


def limits(settings: Settings) -> Limits:
    """What a socket may do."""
    return Limits(
        packet_bytes=settings.max_packet_bytes,
        connect=settings.connect_timeout_ms / 1000,
        ping_interval=settings.ping_interval_ms / 1000,
        ping_timeout=settings.ping_timeout_ms / 1000,
        slow=settings.slow_consumer_ms / 1000,
    )


def shown(secret: SecretStr | None) -> str:
    """What a part is given of a secret; nothing where there is none."""
    return secret.get_secret_value() if secret else ""
