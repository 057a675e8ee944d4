"""One answer: a conversation, a model and tools in, a stream of events and one ending out."""

from talksy.conversation.park import Parked, Waiting
from talksy.conversation.prompts import BYTES_PER_TOKEN, result_text, trim
from talksy.conversation.tools import Checked, NoTools, Tools
from talksy.conversation.turn import Course, Give, Given, Turn

__all__ = [
    "BYTES_PER_TOKEN",
    "Checked",
    "Course",
    "Give",
    "Given",
    "NoTools",
    "Parked",
    "Tools",
    "Turn",
    "Waiting",
    "result_text",
    "trim",
]
