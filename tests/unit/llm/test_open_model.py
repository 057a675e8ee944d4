"""Opening a model by its name."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from talksy.ai.llm import VENDORS, known_vendors, open_model
from tests.vendors.package import ECHO, unpacked

OPTIONS: dict[str, dict[str, Any]] = {
    "mock": {"delay_ms": 0, "directives": True},
    "openai": {"api_key": "key", "model": "gpt-4o-mini"},
    "groq": {"api_key": "key", "model": "openai/gpt-oss-20b"},
}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_every_vendor_can_be_opened_by_its_name(vendor: str) -> None:
    model = open_model(vendor, OPTIONS)
    assert model.provider == vendor
    await model.close()


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("openai", "gpt-4o-mini"),
        ("openai:", "gpt-4o-mini"),
        ("openai:llama3:8b", "llama3:8b"),
        ("groq", "openai/gpt-oss-20b"),
        ("mock", "mock"),
        ("mock:slow", "slow"),
    ],
)
async def test_a_model_in_the_name_goes_before_the_options(name: str, model: str) -> None:
    opened = open_model(name, OPTIONS)
    assert opened.model == model
    await opened.close()


def test_an_unknown_vendor_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match='"acme": the known ones are groq, mock, openai'):
        open_model("acme:best", OPTIONS)


def test_a_vendor_needs_no_options_of_others() -> None:
    assert open_model("mock", {}).provider == "mock"


def test_the_sdk_is_imported_only_when_its_model_is_opened() -> None:
    program = (
        "import sys; from talksy.ai.llm import open_model; open_model('mock', {}); "
        "assert not {'openai', 'groq'} & set(sys.modules); "
        "open_model('openai', {'openai': {'api_key': 'k', 'model': 'm'}}); "
        "assert 'openai' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


# ---- vendors that other packages add


def test_another_package_adds_a_vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(unpacked(tmp_path, "echo", ECHO))
    assert "echo" in known_vendors()
    model = open_model("echo:quiet", {"echo": {"mark": "?"}})
    assert (model.provider, model.model) == ("echo", "quiet")


def test_what_is_built_in_cannot_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(unpacked(tmp_path, "mock", ECHO))
    assert open_model("mock", {}).provider == "mock"


@pytest.mark.parametrize(
    ("source", "kind", "fault"),
    [
        ("import no_such_module", "Echo", "does not start: ModuleNotFoundError"),
        (ECHO, "Nobody", "does not start: AttributeError"),
        (f"{ECHO}\nclass Odd(Echo):\n    def __init__(self, *, key): ...", "Odd", "'key'"),
        ("class Echo:\n    provider = 'echo'", "Echo", "is no LanguageModel"),
        ("def not Python", "Echo", "does not start: SyntaxError"),
    ],
)
def test_a_package_that_is_not_what_it_should_be_is_named_in_one_line(
    source: str, kind: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(unpacked(tmp_path, "echo", source, kind))
    monkeypatch.delitem(sys.modules, "their_echo", raising=False)
    with pytest.raises(ValueError, match="of the package their_echo") as raised:
        open_model("echo", {})
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


def test_two_packages_cannot_add_the_same_vendor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.syspath_prepend(unpacked(tmp_path / name, "echo", ECHO))
        about = tmp_path / name / "their_echo-1.0.dist-info"
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        about.rename(tmp_path / name / f"{name}-1.dist-info")
    with pytest.raises(ValueError, match="several packages add"):
        open_model("echo", {})
