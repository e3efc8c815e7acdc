"""The engine's end of the stream: what is not right is refused, and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gameday.load.stream import Log, Reader
from gameday.model.events import LoadBatch


def batch(starts: list[int], ends: list[int], **other: Any) -> bytes:
    columns = {
        "start_id": starts,
        "start_name": ["buy"] * len(starts),
        "start_at": [number * 5000 for number in starts],
        "end_id": ends,
        "end_at": [number * 5000 + 900 for number in ends],
        "end_ok": [True] * len(ends),
    }
    return json.dumps(columns | other).encode() + b"\n"


def test_lines_may_come_in_any_pieces() -> None:
    reader = Reader(10)
    data = b'{"t0": 5}\n' + batch([0, 1], [0]) + batch([], []) + batch([], [1]) + b'{"end": "done"}\n'
    found = [item for at in range(len(data)) for item in reader.feed(data[at : at + 1])]
    assert found[0] == 5
    assert [item.end_id for item in found[1:] if isinstance(item, LoadBatch)] == [(0,), (1,)]
    assert (reader.t0, reader.end, reader.torn, reader.count) == (5, "done", False, 5)


def test_a_torn_line_is_told() -> None:
    reader = Reader(10)
    list(reader.feed(b'{"t0": 5}\n{"start'))
    assert reader.torn
    assert reader.end is None


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"[]\n",
        b"\xff\xfe\n",
        b'{"end": 3}\n',
        b'{"end": "done", "more": 1}\n',
        b'{"unknown": []}\n',
        batch([3], [], start_at=[]),
        batch([3], [], start_name=["a", "b"]),
        batch([3], [], end_ok=[True]),
        batch([3, 3], []),
        batch([0], []),
        batch([10], []),
        batch([-1], []),
        batch([], [0]),
        batch([], [3]),
        batch([3], [], start_at=["soon"]),
        batch([3], [3], end_status=[200]),
        batch([3], [3], end_note=[""]),
        batch([3], [3], end_status=[200, 200], end_note=["", ""]),
        batch([3], [3], end_status=[99], end_note=[""]),
        batch([3], [3], end_status=[200], end_note=["x" * 201]),
        batch([3], [], end_status=[200], end_note=[""]),
    ],
)
def test_what_a_pack_does_not_send_is_refused(line: bytes) -> None:
    reader = Reader(10)
    list(reader.feed(b'{"t0": 5}\n' + batch([0], [0])))
    with pytest.raises(ValueError, match="line 3 "):
        list(reader.feed(line))


def test_what_a_pack_tells_more_is_told_of_every_end() -> None:
    reader = Reader(10)
    told = batch([2], [1, 2], end_status=[202, 0], end_note=["order-1", ""])
    empty = batch([3], [], end_status=[], end_note=[])
    data = b'{"t0": 5}\n' + batch([0, 1], [0]) + told + empty
    found = [item for item in reader.feed(data) if isinstance(item, LoadBatch)]
    assert [(item.end_status, item.end_note) for item in found] == [((), ()), ((202, 0), ("order-1", "")), ((), ())]
    with pytest.raises(ValueError, match=r"line 5 .*status and note"):
        list(reader.feed(batch([], [3])))


@pytest.mark.parametrize("line", [b'{"t0": "5"}\n', b'{"t0": 5, "x": 1}\n', batch([0], [])])
def test_it_begins_with_t0(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"line 1 .*t0"):
        list(Reader(10).feed(line))


def test_nothing_comes_after_the_end() -> None:
    with pytest.raises(ValueError, match=r"line 3 .*after the end"):
        list(Reader(10).feed(b'{"t0": 5}\n{"end": "done"}\n' + batch([0], [])))


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than"):
        list(Reader(10).feed(b"x" * (2 << 20)))


def test_the_log_is_bounded_and_remembers_its_end(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    for number in range(3000):
        log.write(b"%04d" % number + b"." * 995 + b"\n")
    log.write(b"\nfirst\n\xff last \n\n")
    log.close()
    assert (tmp_path / "log").stat().st_size == 1 << 20
    assert log.tail(2) == "first\n\ufffd last"
