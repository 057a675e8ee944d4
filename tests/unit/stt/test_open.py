"""Opening recognisers and synthesizers by their names."""

import subprocess
import sys
from pathlib import Path

import pytest

from talksy.ai.stt import VENDORS, open_recognizer
from talksy.ai.tts import VENDORS as VOICES
from talksy.ai.tts import open_synthesizer
from talksy.errors import ProviderUnavailable
from tests.vendors.package import unpacked

KEYS = {"openai": {"api_key": "key"}, "groq": {"api_key": "key"}}
PARROT = """
from talksy.ai.stt import BatchRecognizer, Capabilities, Transcript

class Parrot(BatchRecognizer):
    provider, capabilities = "parrot", Capabilities()

    def __init__(self, *, model="grey"):
        self.model = model

    async def recognize(self, pcm, *, language, phrases):
        yield Transcript("hello", final=True)

    async def ping(self): pass

    async def close(self): pass
"""


@pytest.mark.parametrize("vendor", VENDORS.built_in)
async def test_every_recogniser_can_be_opened_by_its_name(vendor: str) -> None:
    opened = open_recognizer(vendor, KEYS)
    assert opened.provider == vendor
    await opened.close()


@pytest.mark.parametrize("vendor", VOICES.built_in)
async def test_every_synthesizer_can_be_opened_by_its_name(vendor: str) -> None:
    opened = open_synthesizer(vendor, KEYS)
    assert opened.provider == vendor
    await opened.close()


async def test_a_model_in_the_name_goes_before_the_options() -> None:
    options = {"openai": {"api_key": "key", "model": "usual"}}
    heard, spoken = open_recognizer("openai:x:y", options), open_synthesizer("openai:z", options)
    assert (heard.model, spoken.model) == ("x:y", "z")
    await heard.close()
    await spoken.close()


@pytest.mark.parametrize("name", ["offline:whisper", "acme"])
def test_what_is_not_there_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name.rpartition(":")[2]):
        open_recognizer(name)
    with pytest.raises(ValueError, match=name.rpartition(":")[2]):
        open_synthesizer(name)


def test_a_program_that_is_not_installed_is_named_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProviderUnavailable) as raised:
        open_synthesizer("offline")
    assert "apt-get install espeak-ng" in str(raised.value.hint)


def test_another_package_adds_a_recogniser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = unpacked(tmp_path, "parrot", PARROT, "Parrot", "talksy.stt")
    monkeypatch.syspath_prepend(package)
    assert open_recognizer("parrot:green").model == "green"


def test_nothing_native_is_imported_before_it_is_opened() -> None:
    program = (
        "import sys; import talksy.ai.stt, talksy.ai.tts; "
        "assert not {'openai', 'groq', 'pocketsphinx', 'soxr', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
