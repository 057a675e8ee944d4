"""Speech by WebRTC's detector: a Gaussian mixture over six bands. It fires on coughs, too."""

from talksy.ai.native import lacking
from talksy.audio import IN_RATE


class WebRTCJudge:
    """Frames of 30 ms, 3 µs each; its judgement is 0 or 1.

    ``aggressiveness`` 0 to 3 says how much it takes to be called speech.
    """

    name = "webrtc"
    samples = 480

    def __init__(self, *, aggressiveness: int = 2) -> None:
        """Raises ``ProviderUnavailable`` where the library is not installed."""
        try:
            import webrtcvad
        except ImportError as error:
            raise lacking(self.name, "webrtcvad-wheels") from error
        self._new = webrtcvad.Vad
        self._aggressiveness = aggressiveness
        self._detector = self._new(aggressiveness)

    def judge(self, frame: bytes) -> float:
        """As ``Judge.judge``."""
        return float(self._detector.is_speech(frame, IN_RATE))

    def forget(self) -> None:
        """As ``Judge.forget``."""
        self._detector = self._new(self._aggressiveness)
