from __future__ import annotations

import pytest

from gameday.proxy.wire import ApiError, boolean, decode, field_of, number, split_address, text


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a": NaN}', b'{"a": -Infinity}', b"[" * 100_000])
def test_what_is_no_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(ApiError, match="bad request body") as caught:
        decode(body)
    assert caught.value.status == 400


def test_wrong_types_are_bad_requests() -> None:
    for read in (
        lambda: field_of([]),
        lambda: text({"a": 1}, "a", ""),
        lambda: boolean({"a": 1}, "a", False),
        lambda: number({"a": True}, "a", 0),
        lambda: number({"a": "1"}, "a", 0),
        lambda: number(field_of(decode(b'{"a": 1e999}')), "a", 0),
    ):
        with pytest.raises(ApiError, match="bad request body"):
            read()


def test_what_is_absent_or_null_has_its_default() -> None:
    assert text({"a": None}, "a", "x") == "x"
    assert boolean({}, "a", True) is True
    assert number({}, "a", 2.5) == 2.5


@pytest.mark.parametrize(
    ("address", "parts"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:8", ("::1", 8)), (":7", ("", 7))]
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", "host", "host:", "host:http", "host:99999", "host:-1"])
def test_bad_addresses(address: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        split_address(address)
