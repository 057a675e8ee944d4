"""The model that a message asks for."""

from talksy.database.lane import Draft
from talksy.messages import Prompt
from tests.integration.gateway.rig import House, session_of


async def test_what_may_not_be_asked_for_any_more_is_answered_by_the_usual_one_degraded(
    house: House,
) -> None:
    """A message can wait over a restart that takes its model off the list."""
    line, connection = await house.join()
    house.cast.play("hi", "hello")
    draft = Draft(session_of(connection), "m1", "hi", streamed=True, model="gone")
    admission = await house.lane.admit(draft, house.clock())
    assert admission.started is not None
    house.journal.start(admission.started)
    ending = await line.ending(draft.turn_id)
    assert (ending.reason, ending.model, ending.degraded) == ("completed", house.cast.model, True)
    assert house.cast.asked[-1][-1] == Prompt("user", "hi")
