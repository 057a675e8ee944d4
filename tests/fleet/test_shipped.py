"""What we ship for others to run: Dockerfile, docker-compose.yml and nginx.conf, read as they are.

Docker itself is not started here; nginx is.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser
from ruamel.yaml import YAML

from talksy.config import Settings
from tests.nginx import CONFIGURATION, find_nginx, settled

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
VARIABLES = {name.upper() for name in Settings.model_fields}
PINNED = re.compile(r"(postgres:\d+\.\d+|[a-z]+:\d+\.\d+\.\d+)(-[a-z]+)*")
VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    composed: dict[str, Any] = YAML(typ="safe").load(COMPOSE.read_text())
    services: dict[str, Any] = composed["services"]
    return services


@pytest.fixture(scope="module")
def nodes(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if "build" in service}


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory: pytest.TempPathFactory) -> DockerfileParser:
    # Of a copy: the library may write what it reads.
    copy = tmp_path_factory.mktemp("image") / "Dockerfile"
    copy.write_text((ROOT / "Dockerfile").read_text())
    return DockerfileParser(str(copy))


def instructions(dockerfile: DockerfileParser, name: str) -> list[str]:
    """What the instructions of this name say, in their order."""
    return [each["value"] for each in dockerfile.structure if each["instruction"] == name]


def filled(value: Any, **given: str) -> str:
    """A value as Compose reads it where the environment has no more than ``given``."""
    return VARIABLE.sub(lambda found: given.get(found[1], found[2]), str(value))


def test_the_compose_file_is_valid_by_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*command, str(COMPOSE)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_every_image_is_pinned(services: dict[str, Any], dockerfile: DockerfileParser) -> None:
    images = {service["image"] for service in services.values()}
    images |= {value.partition(" ")[0] for value in instructions(dockerfile, "FROM")}
    assert [image for image in images if not PINNED.fullmatch(image)] == []


def test_nobody_is_root_and_everybody_has_limits(
    services: dict[str, Any], nodes: dict[str, Any], dockerfile: DockerfileParser
) -> None:
    assert all(int(user) > 0 for user in instructions(dockerfile, "USER")[-1].split(":"))
    for name, service in services.items():
        assert name in nodes or service["user"] not in {"root", "0"}
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])


def test_each_variable_is_a_setting_and_its_value_is_one(
    nodes: dict[str, Any], dockerfile: DockerfileParser, tmp_path: Path
) -> None:
    image = {name: value for name, value in dockerfile.envs.items() if name in VARIABLES}
    assert dockerfile.envs.keys() - VARIABLES == {
        "PATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUNBUFFERED",
    }
    for name, node in nodes.items():
        assert node["environment"].keys() <= VARIABLES
        given = {name: filled(value) for name, value in node["environment"].items()}
        settings = Settings.load({**image, **given, "DATA_DIR": str(tmp_path)}, None)
        assert settings.node_name == name
        assert settings.shares_database
        assert settings.redis_url


def test_production_starts_with_nothing_that_we_chose(
    nodes: dict[str, Any], tmp_path: Path
) -> None:
    given = {
        name: filled(value, TALKSY_ENV="production")
        for name, value in nodes["node1"]["environment"].items()
    }
    with pytest.raises(Exception, match="JWT_SECRET is missing"):
        Settings.load({**given, "DATA_DIR": str(tmp_path)}, None)


def test_a_node_has_time_for_its_turns_when_it_is_stopped(nodes: dict[str, Any]) -> None:
    longest = Settings.model_fields["shutdown_timeout_ms"].default / 1000
    assert all(int(node["stop_grace_period"].rstrip("s")) > longest for node in nodes.values())


def test_what_is_copied_into_the_image_is_there_and_not_ignored(
    dockerfile: DockerfileParser,
) -> None:
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = {
        name
        for value in instructions(dockerfile, "COPY")
        if not value.startswith("--from")
        for name in value.split()[:-1]
    }
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def test_nginx_accepts_its_settings(tmp_path: Path) -> None:
    path = settled(tmp_path, 8080, [3001, 3002, 3003])
    command = [find_nginx(), "-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "warn" not in told.stderr


def test_nginx_knows_every_node_by_its_address_and_its_name(
    nodes: dict[str, Any], services: dict[str, Any]
) -> None:
    text = CONFIGURATION.read_text()
    addresses = {name: node["networks"]["fleet"]["ipv4_address"] for name, node in nodes.items()}
    for name, address in addresses.items():
        first = re.search(rf"upstream {name} {{\s+server ([\d.]+):3000", text)
        assert first is not None
        assert first[1] == address
        assert rf"~^{name}\. {name};" in text
    everywhere = re.search(r"upstream any {(.*?)}", text, re.DOTALL)
    assert everywhere is not None
    assert set(re.findall(r"server ([\d.]+):3000", everywhere[1])) == set(addresses.values())
    proxy = services["nginx"]["networks"]["fleet"]["ipv4_address"]
    assert {node["environment"]["TRUSTED_PROXIES"] for node in nodes.values()} == {f"{proxy}/32"}
