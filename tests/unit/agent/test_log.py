"""A run's log: frames, and when they become chunks."""

from __future__ import annotations

import random
import threading

import pytest

from foretell.agent.log import Log
from foretell.errors import CorruptError
from foretell.protocol.frames import frame, unframe

KIB = 1024
MIB = 1024 * KIB


class Stored:
    """A store of chunks, which may be out of reach."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.away = False

    def write(self, number: int, chunk: bytes) -> None:
        if self.away:
            raise OSError("the store is away")
        assert number == len(self.chunks)
        self.chunks.append(chunk)

    def text(self, stream: int) -> bytes:
        return b"".join(data for number, data in unframe(b"".join(self.chunks)) if number == stream)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stored() -> Stored:
    return Stored()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_frame_is_as_docker_writes_it() -> None:
    assert frame(2, b"abc") == b"\x02\x00\x00\x00\x00\x00\x00\x03abc"


def test_frames_are_read_back_in_order() -> None:
    frames = [(1, b"out"), (2, b""), (1, bytes(range(256))), (2, b"\n")]
    assert list(unframe(b"".join(frame(*each) for each in frames))) == frames
    assert list(unframe(b"")) == []


@pytest.mark.parametrize("length", range(1, 11))
def test_what_is_whole_before_a_cut_is_read_and_the_cut_is_told(length: int) -> None:
    reader = unframe(frame(1, b"whole") + frame(2, b"cut")[:length])
    assert next(reader) == (1, b"whole")
    with pytest.raises(CorruptError, match="no whole frame at byte 13"):
        next(reader)


def test_what_is_no_frame_is_told() -> None:
    with pytest.raises(CorruptError):
        list(unframe(b"this is plain text"))


def test_little_is_written_when_it_is_old_enough(stored: Stored, clock: Clock) -> None:
    log = Log(stored.write, clock=clock)
    log.add(1, b"a")
    clock.now += 0.19
    log.add(1, b"b")
    log.tick()
    assert stored.chunks == []
    clock.now += 0.02
    log.tick()
    assert stored.chunks == [frame(1, b"ab")]
    clock.now += 100
    log.tick()
    assert log.chunks == 1


def test_the_delay_grows_with_the_age_of_the_log_to_its_limit(stored: Stored, clock: Clock) -> None:
    log = Log(stored.write, interval=2.0, clock=clock)
    delays: list[float] = []
    for age in (1, 10, 20, 1000):
        clock.now = begun = 100.0 + age
        log.add(1, b"x")
        while log.chunks == len(delays):
            clock.now += 0.01
            log.tick()
        delays.append(round(clock.now - begun, 1))
    assert delays == [0.2, 0.5, 1.1, 2.0]


def test_much_is_written_at_once_in_chunks_that_grow(stored: Stored, clock: Clock) -> None:
    log = Log(stored.write, clock=clock)
    for _ in range(64 * MIB // (64 * KIB)):
        log.add(1, b"x" * 64 * KIB)
    log.close()
    sizes = [len(chunk) // KIB for chunk in stored.chunks]
    assert sizes[:9] == [64, 128, 256, 512, 1024, 2048, 4096, 8192, 8192]
    assert len(stored.text(1)) == 64 * MIB
    assert log.chunks == len(sizes) < 16


def test_both_streams_keep_their_order(stored: Stored) -> None:
    log = Log(stored.write)
    for stream, data in [(1, b"a"), (1, b"b"), (2, b"c"), (1, b"d")]:
        log.add(stream, data)
    log.close()
    assert stored.chunks == [frame(1, b"ab") + frame(2, b"c") + frame(1, b"d")]


def test_a_log_of_nothing_is_no_chunk(stored: Stored) -> None:
    log = Log(stored.write)
    log.tick()
    log.close()
    log.close()
    assert (log.chunks, stored.chunks) == (0, [])


def test_a_write_that_fails_is_made_up_for(stored: Stored, clock: Clock) -> None:
    log = Log(stored.write, clock=clock)
    log.add(1, b"a")
    stored.away, clock.now = True, clock.now + 1
    with pytest.raises(OSError, match="away"):
        log.tick()
    assert log.chunks == 0
    log.add(2, b"b")
    stored.away = False
    log.close()
    assert stored.chunks == [frame(1, b"a") + frame(2, b"b")]


def test_nothing_is_lost_or_written_twice_by_many_threads(stored: Stored) -> None:
    log = Log(stored.write, interval=0.0, limit=100)
    rng = random.Random(0)
    lengths = {stream: [rng.randrange(200) for _ in range(500)] for stream in (1, 2)}

    def work(stream: int) -> None:
        for length in lengths[stream]:
            log.add(stream, b"x" * length)
            log.tick()

    threads = [threading.Thread(target=work, args=(stream,)) for stream in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert [len(stored.text(stream)) for stream in (1, 2)] == [sum(lengths[1]), sum(lengths[2])]
