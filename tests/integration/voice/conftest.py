"""Real engines, each opened once: what one test has heard, the next knows nothing of."""

import functools
from collections.abc import Iterator

import pytest

from talksy.ai.vad import ENGINES, SpeechDetector, open_detector
from talksy.errors import ProviderUnavailable
from tests.postgres import missing

opened = functools.cache(open_detector)


def detector_called(name: str) -> SpeechDetector:
    """The test fails where it is not installed, or is skipped where that is allowed."""
    try:
        return opened(name)
    except ProviderUnavailable as error:
        missing(f"{error} {error.hint}. TALKSY_REQUIRE_REAL=0 skips.")


@pytest.fixture(params=list(ENGINES.built_in))
def detector(request: pytest.FixtureRequest) -> Iterator[SpeechDetector]:
    """Every engine."""
    detector = detector_called(request.param)
    yield detector
    detector.finish()
