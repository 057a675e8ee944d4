"""What the mock model says to people: a few friendly replies, chosen by word, and what tools came
to.
"""

import re

import orjson

_REPLIES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("who are you", "what are you", "your name"),
        "I am Talksy's mock model. I answer without a vendor, the same way every time.",
    ),
    (
        ("how are you",),
        "I am well, thank you. What can I do for you?",
    ),
    (
        ("help", "what can you do"),
        "Talk to me about anything: I repeat it. For a real model, set OPENAI_API_KEY.",
    ),
    (
        ("thanks", "thank you", "thx"),
        "You're welcome! Is there anything else?",
    ),
    (
        ("bye", "goodbye", "see you"),
        "Goodbye! It was good to talk to you.",
    ),
    (
        ("weather", "forecast"),
        "I cannot look out of the window, but I hope the sun is shining where you are.",
    ),
    (
        ("time", "date"),
        "I have no clock: a mock model answers the same at any hour.",
    ),
    (
        ("joke",),
        "Why did the socket never get lonely? It always had a peer.",
    ),
    (
        ("hello", "hi", "hey", "good morning", "good evening"),
        "Hello! How can I help you today?",
    ),
)
"""Phrases of whole words and the reply to them; the first row that fits counts, so that a
greeting in front of a question does not hide the question."""

_LONGEST_ECHO = 200
_LONGEST_RESULT = 2_000
_REFUSED = ("TOOL_DENIED", "APPROVAL_EXPIRED")
_WORD = re.compile(r"[^\W_]+")


def reply(text: str) -> str:
    """The reply to ``text``: the same for the same text, whatever was said before."""
    spoken = f" {' '.join(_WORD.findall(text.lower()))} "
    for phrases, answer in _REPLIES:
        if any(f" {phrase} " in spoken for phrase in phrases):
            return answer
    heard = " ".join(text.split())
    if not heard:
        return "I heard nothing. What would you like to say?"
    if len(heard) > _LONGEST_ECHO:
        heard = f"{heard[:_LONGEST_ECHO]}…"
    return f'I understood: "{heard}" Tell me more.'


def report(name: str, told: str) -> str:
    """A sentence about what the tool ``name`` came to; ``told`` is its prompt.

    That is JSON, ``{"result": …}`` or ``{"error": {"code": …, "message": …}}``.
    """
    try:
        outcome = orjson.loads(told)
        error = outcome.get("error")
        if error:
            verb = "was refused" if error["code"] in _REFUSED else "failed"
            return f"{name} {verb}: {error['message']}"
        result = outcome["result"]
        if name == "get_current_time":
            return f"It is {result['time']} in {result['zone']}."
        said = result if isinstance(result, str) else orjson.dumps(result).decode()
    except (ValueError, TypeError, AttributeError, LookupError):
        said = told
    if len(said) > _LONGEST_RESULT:
        said = f"{said[:_LONGEST_RESULT]}…"
    return f"{name} says: {said}"
