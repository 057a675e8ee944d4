"""Opening a model by its name."""

import subprocess
import sys
from typing import Any

import pytest

from talksy.ai.llm import VENDORS, open_model

OPTIONS: dict[str, dict[str, Any]] = {
    "mock": {"delay_ms": 0, "directives": True},
    "openai": {"api_key": "key", "model": "gpt-4o-mini"},
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
        ("mock", "mock"),
        ("mock:slow", "slow"),
    ],
)
async def test_a_model_in_the_name_goes_before_the_options(name: str, model: str) -> None:
    opened = open_model(name, OPTIONS)
    assert opened.model == model
    await opened.close()


def test_an_unknown_vendor_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match='"acme": the known ones are mock, openai'):
        open_model("acme:best", OPTIONS)


def test_a_vendor_needs_no_options_of_others() -> None:
    assert open_model("mock", {}).provider == "mock"


def test_the_sdk_is_imported_only_when_its_model_is_opened() -> None:
    program = (
        "import sys; from talksy.ai.llm import open_model; open_model('mock', {}); "
        "assert 'openai' not in sys.modules; "
        "open_model('openai', {'openai': {'api_key': 'k', 'model': 'm'}}); "
        "assert 'openai' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
