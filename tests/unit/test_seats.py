from duragraph.pg.workers import Worker
from duragraph.seats import Seats

NEEDS = ("org", "default", "g")


def seated(seats, name, *, free):
    worker = Worker(name, "org", "default", free, ["g"], ["1"], draining=False)
    seats.add(worker).free = free


def test_workers_are_matched_in_turn_as_long_as_they_have_room():
    seats = Seats()
    seated(seats, "small", free=1)
    seated(seats, "large", free=3)
    matched = []
    while seat := seats.ready(NEEDS):
        seat.free -= 1
        matched.append(seat.worker.worker_id)
    assert matched == ["small", "large", "large", "large"]


def test_nobody_is_matched_to_what_nobody_serves():
    assert Seats().ready(NEEDS) is None
