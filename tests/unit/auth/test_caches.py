"""The caches: bounded in number and age, and at once without what was revoked."""

from hypothesis import given
from hypothesis import strategies as st

from talksy.auth import Counts, Identity, TokenCache, User, UserCache
from tests.unit.auth.clock import Clock


def identity(family: str = "fam_1", expires_at: int = 10_000) -> Identity:
    return Identity("usr_1", family, 0, expires_at, "tools:basic")


def token_cache(size: int = 100, ttl_ms: int = 1_000, clock: Clock | None = None) -> TokenCache:
    return TokenCache(size=size, ttl_ms=ttl_ms, clock=clock or Clock(0))


def test_a_token_is_known_until_its_time_in_the_cache_is_over() -> None:
    clock = Clock(0)
    cache = token_cache(clock=clock)
    cache.put("token", identity())
    clock.now = 999
    assert cache.get("token") == identity()
    clock.now = 1_000
    assert cache.get("token") is None


def test_a_token_is_never_known_longer_than_it_lives() -> None:
    clock = Clock(0)
    cache = token_cache(clock=clock)
    cache.put("token", identity(expires_at=500))
    clock.now = 500
    assert cache.get("token") is None
    cache.put("token", identity(expires_at=500))
    assert cache.counts().size == 0


def test_the_least_recently_used_makes_room() -> None:
    cache = token_cache(size=2)
    for token in ("a", "b"):
        cache.put(token, identity(token))
    cache.get("a")
    cache.put("c", identity("c"))
    assert [cache.get(token) is not None for token in "abc"] == [True, False, True]


def test_hits_and_misses_are_counted() -> None:
    cache = token_cache()
    cache.get("token")
    cache.put("token", identity())
    cache.get("token")
    cache.get("token")
    assert cache.counts() == Counts(hits=2, misses=1, size=1)


def test_a_purge_forgets_one_family_and_begins_a_generation() -> None:
    cache = token_cache()
    for token, family in (("a", "fam_1"), ("b", "fam_1"), ("c", "fam_2")):
        cache.put(token, identity(family))
    cache.purge("fam_1")
    assert [cache.get(token) is not None for token in "abc"] == [False, False, True]
    assert cache.generation == 1


def test_a_purge_of_what_has_just_run_out_is_fine() -> None:
    clock = Clock(0)
    cache = token_cache(clock=clock)
    cache.put("token", identity())
    clock.now = 5_000
    cache.purge("fam_1")
    assert cache.counts().size == 0


def test_without_a_size_nothing_is_kept() -> None:
    cache = token_cache(size=0)
    cache.put("token", identity())
    cache.purge("fam_1")
    assert cache.get("token") is None
    assert cache.counts() == Counts(hits=0, misses=1, size=0)
    users = UserCache(size=0, ttl_ms=1_000, clock=Clock(0))
    users.put(User("usr_1", "ada@example.com", 0))
    assert users.get("usr_1") is None
    assert users.counts() == Counts(hits=0, misses=1, size=0)


steps = st.lists(
    st.tuples(st.sampled_from(["put", "purge", "wait"]), st.integers(0, 5), st.integers(1, 900))
)


@given(steps)
def test_whatever_happens_the_list_of_families_is_the_list_of_what_is_kept(
    steps: list[tuple[str, int, int]],
) -> None:
    clock = Clock(0)
    cache = token_cache(size=3, ttl_ms=500, clock=clock)
    for step, number, ms in steps:
        if step == "put":
            expires_at = clock.now + ms
            cache.put(f"token{number}", identity(f"fam_{number % 3}", expires_at))
        elif step == "purge":
            cache.purge(f"fam_{number % 3}")
        else:
            clock.now += ms
    kept = cache._identities
    assert kept is not None
    assert len(kept) <= 3
    listed = {key for keys in kept._families.values() for key in keys}
    assert set(kept) <= listed
    clock.now += 1_000
    assert len(kept) == 0
    assert not kept._families


def test_a_user_is_known_until_the_time_is_over() -> None:
    clock = Clock(0)
    cache = UserCache(size=10, ttl_ms=1_000, clock=clock)
    user = User("usr_1", "ada@example.com", 0)
    cache.put(user)
    assert cache.get("usr_1") == user
    clock.now = 1_000
    assert cache.get("usr_1") is None
    assert cache.counts() == Counts(hits=1, misses=1, size=0)
