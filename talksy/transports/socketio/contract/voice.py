"""Speaking, and being spoken to."""

from collections.abc import Mapping

from talksy.audio import OUT_RATE
from talksy.errors import MicBusy, ProviderUnavailable, ServerDraining, SessionLimit
from talksy.transports import shapes
from talksy.transports.socketio.contract.entry import ALWAYS, NOW, TURN, Asked, Told
from talksy.transports.socketio.outbox import PLACEHOLDER
from talksy.transports.socketio.payloads import Audio, Nothing, Played, StartVoice

STREAM = "voi_3Hn8Pz6YcWq1Lf5R"

_HEARD = (
    "speech_started",
    "partial_transcript",
    "speech_stopped",
    "final_transcript",
    "wake_word",
    "audio_start",
    "audio_chunk",
    "audio_end",
    "audio_clear",
)

ASKED: Mapping[str, Asked] = {
    "voice_start": Asked(
        "Speak, and be spoken to: `audio` follows. Sent again, it changes how is listened. One "
        "device of a session has the microphone.",
        StartVoice,
        {"mode": "turn", "profile": "vad-triggered", "turnDetection": {"silenceDurationMs": 400}},
        shapes.VoiceStarted,
        shapes.VoiceStarted(ok=True, streamId=STREAM, profile="vad-triggered", autoStart=True),
        [
            MicBusy,
            ProviderUnavailable,
            SessionLimit,
            ServerDraining,
            *ALWAYS,
        ],
        _HEARD,
    ),
    "audio": Asked(
        "The next piece of what the microphone hears; 40 ms are a good length. It needs no ack.",
        Audio,
        PLACEHOLDER,
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [ProviderUnavailable, *ALWAYS],
        _HEARD,
    ),
    "played": Asked(
        "How much of an answer has been heard: about each second, so that history keeps that and "
        "no more where it is interrupted. It needs no ack.",
        Played,
        {"turnId": TURN, "ms": 1_240},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [ProviderUnavailable, *ALWAYS],
    ),
    "voice_stop": Asked(
        "Let go of the microphone. What was heard so far ends with its transcript.",
        Nothing,
        {},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [ProviderUnavailable, *ALWAYS],
        ["speech_stopped", "final_transcript"],
    ),
}

TOLD: Mapping[str, Told] = {
    "speech_started": Told(
        "Somebody has begun to speak.",
        ("speech_started", shapes.Speech(streamId=STREAM, offsetMs=620, probability=0.93)),
    ),
    "speech_stopped": Told(
        "Somebody has spoken; `final_transcript` follows.",
        ("speech_stopped", shapes.Speech(streamId=STREAM, offsetMs=1_840, probability=0.88)),
    ),
    "wake_word": Told(
        "The wake word was said: what comes then is listened to.",
        ("wake_word", shapes.WakeWordHeard(wakeWord="jarvis", confidence=0.97, timestamp=NOW)),
    ),
    "partial_transcript": Told(
        "What was said so far, whole: it replaces the former one.",
        ("partial_transcript", shapes.Transcript(text="what time", startMs=620, endMs=1_300)),
    ),
    "final_transcript": Told(
        "What was said.",
        (
            "final_transcript",
            shapes.Transcript(
                text="what time is it",
                confidence=0.96,
                language="en",
                startMs=620,
                endMs=1_840,
                turnId=TURN,
            ),
        ),
    ),
    "audio_start": Told(
        "An answer is about to be heard.",
        ("audio_start", shapes.AudioStart(turnId=TURN, audioSeq=0, sampleRate=OUT_RATE)),
    ),
    "audio_chunk": Told(
        "The next frame of an answer's sound. It is sent once: after a reconnect the text is read "
        "on, but not the sound that was missed.",
        (
            "audio_chunk",
            shapes.AudioChunk(
                turnId=TURN,
                audioSeq=1,
                sampleRate=OUT_RATE,
                text="It is half past nine.",
                audio=bytes(1_920),
            ),
        ),
    ),
    "audio_end": Told(
        "That was all of an answer's sound.",
        ("audio_end", shapes.AudioEnd(turnId=TURN, audioSeq=42)),
    ),
    "audio_clear": Told(
        "Somebody speaks, or the turn was cancelled: stop playing it now.",
        ("audio_clear", shapes.AudioClear(turnId=TURN)),
    ),
}
