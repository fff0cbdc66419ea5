"""What a plane remembers of long states, within its bounds."""

from msgspec import Raw

from duragraph.part_cache import LEAST_BYTES, PartCache

LONG = Raw(b"x" * LEAST_BYTES)
A, B, C = (("organization", "thread", ns) for ns in "abc")


def part(name="1", value=LONG):
    return {name: value}


def test_the_last_answers_long_parts_are_held():
    cache = PartCache(10 * LEAST_BYTES)
    assert cache.held(A) == {}
    cache.keep(A, part("1") | part("short", Raw(b"[]")))
    assert cache.held(A) == part("1")
    cache.keep(A, part("2"))
    assert cache.held(A) == part("2")
    cache.keep(A, part("short", Raw(b"[]")))
    assert cache.held(A) == part("2")


def test_what_was_not_read_for_longest_leaves_first():
    cache = PartCache(2 * LEAST_BYTES)
    for place in (A, B, A, C):
        cache.keep(place, part())
    assert [cache.held(place) for place in (A, B, C)] == [part(), {}, part()]


def test_what_is_replaced_takes_no_room():
    cache = PartCache(2 * LEAST_BYTES)
    cache.keep(A, part())
    for n in range(10):
        cache.keep(B, part(str(n)))
    assert (cache.held(A), cache.held(B)) == (part(), part("9"))


def test_one_answer_that_is_too_long_drives_nothing_out():
    cache = PartCache(2 * LEAST_BYTES)
    cache.keep(A, part())
    cache.keep(B, part("1") | part("2") | part("3"))
    assert (cache.held(A), cache.held(B)) == (part(), {})
