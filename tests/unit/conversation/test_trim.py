"""The context is trimmed from the oldest by a budget of tokens."""

from hypothesis import given
from hypothesis import strategies as st

from talksy.conversation import trim
from talksy.messages import Prompt

SYSTEM = Prompt("system", "be kind")
TEXTS = st.lists(st.text(max_size=60), max_size=12)


def cost(prompts: list[Prompt]) -> int:
    return sum(len(prompt.content.encode()) // 4 + 1 for prompt in prompts)


def prompts_of(texts: list[str], *, system: bool) -> list[Prompt]:
    return [SYSTEM] * system + [Prompt("user", text) for text in texts]


def test_what_fits_stays_whole() -> None:
    prompts = prompts_of(["a" * 40, "b" * 40], system=True)
    assert trim(prompts, cost(prompts)) == prompts
    assert trim(prompts, cost(prompts) - 1) == [SYSTEM, prompts[2]]


def test_the_system_prompt_and_the_newest_message_stay_whatever_the_budget() -> None:
    prompts = prompts_of(["a", "b" * 1_000], system=True)
    assert trim(prompts, 0) == [SYSTEM, prompts[2]]
    assert trim([SYSTEM], 0) == [SYSTEM]
    assert trim([], 0) == []


def test_an_oldest_message_that_would_fit_does_not_jump_a_longer_one() -> None:
    prompts = prompts_of(["a", "b" * 400, "c"], system=False)
    assert trim(prompts, 10) == [prompts[2]]


def test_scripts_with_long_letters_are_not_underrated() -> None:
    prompts = prompts_of(["漢" * 40, "b"], system=False)
    assert trim(prompts, 30) == [prompts[1]]
    assert trim(prompts, 32) == prompts


@given(TEXTS, st.booleans(), st.integers(0, 120))
def test_what_stays_is_the_newest_that_fits(texts: list[str], system: bool, budget: int) -> None:
    prompts = prompts_of(texts, system=system)
    kept = trim(prompts, budget)
    rest = kept[system:]
    assert kept[:system] == prompts[:system]
    assert rest == prompts[system:][len(prompts) - system - len(rest) :]
    assert len(rest) >= min(1, len(texts))
    if len(rest) > 1:
        assert cost(kept) <= budget
    if len(rest) < len(texts):
        older = prompts[len(prompts) - len(rest) - 1]
        assert cost([*kept, older]) > budget
