"""The record: what is written is read back, and nothing that was changed since is accepted."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from gameday.errors import TimelineError
from gameday.model.base import JSON
from gameday.model.enums import Outcome
from gameday.model.events import AbortRequested, Event, FaultInjected, ProbeSample, RunClosed, SourceGap
from gameday.timeline import GENESIS, Timeline, TimelineRead, parse, read, seal


class Clock:
    """Counts, so that every event has a time of its own."""

    def __init__(self) -> None:
        self._now = 10**18

    def monotonic_ns(self) -> int:
        self._now += 1
        return self._now

    def time_ns(self) -> int:
        return 1_790_000_000 * 10**9 + self._now


def write(path: Path, count: int = 5) -> bytes:
    with Timeline(path, Clock()) as record:
        for number in range(count):
            record("engine", AbortRequested(by="engine", reason=f"Nr. {number}: {'ä' * number}"))
        record("engine", RunClosed(outcome="aborted", reason="because"))
    return path.read_bytes()


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    with Timeline(path, Clock()) as record:
        first = record("engine", AbortRequested(by="signal", reason="Ctrl-C"))
        second = record("probe/p", ProbeSample(ok=True, status=200, start=2**60, end=2**60 + 1))
        assert record.events == (first, second)
    found = read(path)
    assert found == TimelineRead((first, second), torn=False)
    assert found.head == second.hash
    assert found.events[0].prev == GENESIS
    assert found.events[1].prev == first.hash
    assert found.events[1].read(ProbeSample).start == 2**60
    assert [event.seq for event in found.events] == [1, 2]


def test_a_line_is_compact_json_whose_hash_is_of_what_stands_before_it(tmp_path: Path) -> None:
    first = lines(write(tmp_path / "t"))[0]
    head, _, tail = first.rstrip(b"\n").rpartition(b',"hash":"')
    assert tail[:-2].decode() == hashlib.sha256(head).hexdigest()
    body = json.loads(first)
    assert list(body) == ["seq", "mono", "wall", "source", "kind", "data", "prev", "hash"]
    assert isinstance(body["mono"], str)
    assert isinstance(body["wall"], str)


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "t")
    with pytest.raises(FileExistsError):
        Timeline(tmp_path / "t", Clock())


def test_events_are_heard_after_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "t"
    heard: list[tuple[Event, int]] = []
    with Timeline(path, Clock()) as record:
        record.listen(lambda event: heard.append((event, len(path.read_bytes().splitlines()))))
        record("engine", AbortRequested(by="engine", reason="one"))
        record("engine", AbortRequested(by="engine", reason="two"))
    assert [(event.seq, written) for event, written in heard] == [(1, 1), (2, 2)]


def test_many_threads_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with Timeline(path, Clock()) as record:

        def burst(name: str) -> None:
            for _ in range(50):
                record(name, SourceGap(since=1, reason=name))

        threads = [threading.Thread(target=burst, args=(f"s{number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    found = read(path)
    assert len(found.events) == 300
    assert [event.mono for event in found.events] == sorted(event.mono for event in found.events)


def test_numbers_that_are_not_finite_become_null_with_a_reason() -> None:
    data: dict[str, JSON] = {"a": float("nan"), "b": [float("inf")], "c": {"d": 1.5}}
    line, _ = seal(1, 1, 1, "s", "k", data, GENESIS)
    found = json.loads(line)["data"]
    assert found["a"] == {"value": None, "reason": "not finite: nan"}
    assert found["b"] == [{"value": None, "reason": "not finite: inf"}]
    assert found["c"] == {"d": 1.5}


def test_text_that_utf8_can_not_say_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with Timeline(path, Clock()) as record:
        record("engine", FaultInjected(id="f", outcome=Outcome.FAILED, error="bad \ud800 text"))
    assert read(path).events[0].data["error"] == "bad ? text"


def test_a_last_line_without_newline_is_torn(tmp_path: Path) -> None:
    data = write(tmp_path / "t")
    whole = parse(lines(data))
    for cut in range(len(lines(data)[-1])):
        found = parse(lines(data[: len(data) - 1 - cut]))
        # Cut exactly between two lines nothing is torn, it is only shorter.
        assert found.torn is (cut < len(lines(data)[-1]) - 1)
        assert found.events == whole.events[:-1]


def test_nothing_can_follow_a_torn_line(tmp_path: Path) -> None:
    rows = lines(write(tmp_path / "t"))
    with pytest.raises(TimelineError, match="seq 3"):
        parse([*rows[:2], rows[2].rstrip(b"\n"), *rows[3:]])


def test_dropping_the_last_line_is_not_noticed_by_the_chain(tmp_path: Path) -> None:
    """That is what `run.closed` is for: the grade calls such a run aborted."""
    rows = lines(write(tmp_path / "t"))
    assert len(parse(rows[:-1]).events) == len(rows) - 1


@pytest.mark.parametrize("flip", [0x01, 0x02, 0x20, 0x80])
def test_every_byte_counts(tmp_path: Path, flip: int) -> None:
    data = write(tmp_path / "t", count=3)
    for place in range(len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= flip
        with pytest.raises(TimelineError, match="seq "):
            parse(lines(bytes(changed)))


def test_a_byte_more_or_less_anywhere_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "t", count=3)
    for place in range(len(data) - 1):
        with pytest.raises(TimelineError):
            parse(lines(data[:place] + data[place + 1 :]))
        with pytest.raises(TimelineError):
            parse(lines(data[:place] + b" " + data[place:]))


def test_the_final_newline_alone_reads_as_torn(tmp_path: Path) -> None:
    data = write(tmp_path / "t")
    assert parse(lines(data[:-1])).torn
    assert parse(lines(data[:-1] + b"x")).torn


def test_one_random_byte_anywhere_names_the_seq_of_its_line(tmp_path: Path) -> None:
    data = write(tmp_path / "t", count=8)
    chance = random.Random(3)
    for _ in range(300):
        place = chance.randrange(len(data) - 1)
        changed = bytearray(data)
        changed[place] = chance.choice([byte for byte in range(256) if byte != data[place]])
        seq = data[:place].count(b"\n") + 1
        # A newline that came or went is noticed in that line, or in the next.
        with pytest.raises(TimelineError, match=f"seq ({seq}|{seq + 1}):"):
            parse(lines(bytes(changed)))


def relink(rows: list[bytes], keep_prev: bool = False) -> list[bytes]:
    """The rows with every hash made anew; with ``keep_prev`` their links stay as they are."""
    prev, out = GENESIS, []
    for row in rows:
        body = json.loads(row)
        text, prev = seal(
            body["seq"], int(body["mono"]), int(body["wall"]), body["source"], body["kind"], body["data"],
            body["prev"] if keep_prev else prev,
        )  # fmt: skip
        out.append(text + b"\n")
    return out


def test_the_chain_needs_every_line_in_its_place(tmp_path: Path) -> None:
    rows = lines(write(tmp_path / "t"))
    assert relink(rows) == rows
    for broken in (rows[1:], [rows[0], *rows[2:]], [rows[1], rows[0], *rows[2:]], [*rows[:2], rows[1], *rows[2:]]):
        with pytest.raises(TimelineError, match=r"seq [12345]: does not follow the line before"):
            parse(broken)
        # Also with hashes that fit each line: the numbers do not.
        with pytest.raises(TimelineError, match="does not follow the line before"):
            parse(relink(broken))


def test_a_changed_line_with_a_fresh_hash_breaks_the_next(tmp_path: Path) -> None:
    rows = lines(write(tmp_path / "t"))
    rows[1] = rows[1].replace(b"Nr. 1", b"Nr. 9")
    with pytest.raises(TimelineError, match="seq 3: does not follow the line before"):
        parse(relink(rows, keep_prev=True))


@pytest.mark.parametrize(
    "head",
    [
        b'{"seq":1,"mono":"1","wall":"1","source":"s","kind":"k","data":[],"prev":"%s"' % GENESIS.encode(),
        b'{"seq":1,"mono":"x","wall":"1","source":"s","kind":"k","data":{},"prev":"%s"' % GENESIS.encode(),
        b'{"seq":1,"wall":"1","source":"s","kind":"k","data":{},"prev":"%s"' % GENESIS.encode(),
        b'{"seq":1,"mono":"1","wall":"1","source":"s","kind":"k","data":{},"more":1,"prev":"%s"' % GENESIS.encode(),
        b'{"seq":2,"mono":"1","wall":"1","source":"s","kind":"k","data":{},"prev":"%s"' % GENESIS.encode(),
        b'{"seq":1,"mono":"1","wall":"1","source":"s","kind":"k","data":{},"prev":"%s"' % (b"1" * 64),
        b"[1",
        b"not json",
    ],
)
def test_a_line_with_a_fitting_hash_must_still_be_an_event(head: bytes) -> None:
    line = head + b',"hash":"' + hashlib.sha256(head).hexdigest().encode() + b'"}\n'
    with pytest.raises(TimelineError, match="seq 1: "):
        parse([line])


def test_a_file_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TimelineError, match="No such file"):
        read(tmp_path / "none")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(TimelineError, match="no complete event"):
        read(tmp_path / "empty")


def test_a_broken_file_is_named_with_what_that_means(tmp_path: Path) -> None:
    data = write(tmp_path / "t")
    (tmp_path / "t").write_bytes(data.replace(b"Nr. 2", b"Nr. 3"))
    with pytest.raises(TimelineError, match="seq 3") as caught:
        read(tmp_path / "t")
    assert str(tmp_path / "t") in caught.value.message
    assert "can not be graded" in caught.value.hint
    assert caught.value.exit_code == 2


class FullDisk:
    """The timeline's file: from the byte ``room`` on nothing fits, until more is given."""

    def __init__(self, inner: BinaryIO, room: int, error: int = errno.ENOSPC, cut: bool = True) -> None:
        self._inner, self.room, self._error, self._cut = inner, room, error, cut
        self.closed = False

    def write(self, data: bytes) -> int:
        fits = data[: max(0, self.room - self._inner.tell())]
        if not fits:
            raise OSError(self._error, os.strerror(self._error))
        return self._inner.write(fits)

    def seek(self, offset: int) -> int:
        return self._inner.seek(offset)

    def truncate(self) -> int:
        if not self._cut:
            raise OSError(errno.EIO, "it can not be cut")
        return self._inner.truncate()

    def close(self) -> None:
        self._inner.close()


def say(record: Timeline, source: str = "engine") -> None:
    record(source, AbortRequested(by="engine", reason="x" * 200))


def say_five(record: Timeline) -> None:
    for _ in range(5):
        say(record)


@pytest.mark.parametrize("room", [0, 1, 100, 500, 900])
def test_a_full_disk_leaves_whole_lines_and_is_told(tmp_path: Path, room: int) -> None:
    path = tmp_path / "timeline.jsonl"
    with Timeline(path, Clock()) as record:
        record._file = FullDisk(record._file, room)  # type: ignore[assignment]
        with pytest.raises(OSError, match="No space left"):
            say_five(record)
        assert record.broken is not None
        kept = record.events
    with path.open("rb") as file:
        assert parse(file) == TimelineRead(kept, torn=False)


def test_room_that_is_made_keeps_the_line_and_the_last_words(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    with Timeline(path, Clock()) as record:
        disk = FullDisk(record._file, 700)
        record._file = disk  # type: ignore[assignment]
        made: list[int] = []

        def make_room() -> bool:
            made.append(1)
            disk.room += 5000
            return True

        record.spare(make_room)
        say(record, "probe/p")
        say(record, "probe/p")  # does not fit, and is written all the same
        assert (len(made), record.broken is not None) == (1, True)
        with pytest.raises(OSError, match="No space left"):
            say(record, "probe/p")  # what is left is for the end
        say(record)
        record("engine", RunClosed(outcome="aborted", reason="the disk is full"))
        assert len(record.events) == 4
        assert read(path).events == record.events


@pytest.mark.parametrize(("error", "cut"), [(errno.EIO, True), (errno.ENOSPC, False)])
def test_nothing_is_written_behind_what_may_be_torn(tmp_path: Path, error: int, cut: bool) -> None:
    path = tmp_path / "timeline.jsonl"
    with Timeline(path, Clock()) as record:
        disk = FullDisk(record._file, 700, error, cut)
        record._file = disk  # type: ignore[assignment]
        record.spare(lambda: True)
        say(record)
        with pytest.raises(OSError):
            say(record)
        disk.room = 10**6
        with pytest.raises(OSError):
            say(record)
        assert len(record.events) == 1
    assert read(path) == TimelineRead(record.events, torn=not cut)
