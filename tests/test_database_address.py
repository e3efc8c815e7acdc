"""Addresses of databases: what they say, and what none may say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.model.database import DatabaseAddress, database_address


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://db.example/shop", DatabaseAddress("db.example", "shop")),
        ("postgresql://db.example:6432/shop", DatabaseAddress("db.example", "shop", 6432)),
        ("postgresql://[::1]:5433/shop", DatabaseAddress("::1", "shop", 5433)),
        ("postgresql://db/a%2Db?user=x%20y", DatabaseAddress("db", "a-b", user="x y")),
        ("postgresql:///shop?host=%2Frun%2Fpg&port=5433&user=u", DatabaseAddress("/run/pg", "shop", 5433, "u")),
        ("postgresql:///shop?host=/run/pg", DatabaseAddress("/run/pg", "shop")),
    ],
)
def test_what_it_says(url: str, found: DatabaseAddress) -> None:
    assert database_address(url) == found
    assert database_address(found.url) == found


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://db/shop", "begins with postgresql://"),
        ("postgresql://db/shop#x", "no fragment"),
        ("postgresql://u:hunter2@db/shop", "no credentials"),
        ("postgresql://u@db/shop", "no credentials"),
        ("postgresql://db/shop?password=hunter2", "not password"),
        ("postgresql://db/shop?passfile=/hunter2", "not passfile"),
        ("postgresql://db/shop?options=-c", "not options"),
        ("postgresql://a,b/shop", "one host"),
        ("postgresql:///shop", "one host"),
        ("postgresql://db/shop?host=/run", "two hosts"),
        ("postgresql://db:1/shop?port=2", "two hosts or ports"),
        ("postgresql://db", "one database"),
        ("postgresql://db/a/b", "one database"),
        ("postgresql://db/a?user=x&user=y", "said once"),
        ("postgresql://db/a?user=", "is not empty"),
        ("postgresql://db/a?port=0", "no port"),
        ("postgresql://db/a?port=hunter2", "no port"),
        ("postgresql://app:hunter2/x@db/shop", "host and port can not be read"),
        ("postgresql://app:x[hunter2@db/shop", "host and port can not be read"),
        ("postgresql://app:hunter2\u2100@db/shop", "host and port can not be read"),
        ("postgresql://app:x?hunter2@db/shop", "host and port can not be read"),
        ("postgresql://app?hunter2@db/shop", "not of the form"),
        ("postgresql://app?hunter2=@db/shop", "host, port and user, not more"),
    ],
)
def test_what_is_refused_and_not_repeated(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        database_address(url)
    assert "hunter2" not in str(raised.value)


TEXT = st.text(st.characters(exclude_characters="/,\0", exclude_categories=("Cs", "Cc")), min_size=1)


@settings(max_examples=30)
@given(TEXT, TEXT, st.integers(1, 65535), st.just("") | TEXT)
def test_a_socket_is_named_by_any_folder(folder: str, database: str, port: int, user: str) -> None:
    address = DatabaseAddress(f"/{folder}", database, port, user)
    assert database_address(address.url) == address


@settings(max_examples=50)
@given(st.text())
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        found = database_address(f"postgresql://{text}")
    except ValueError:
        return
    assert database_address(found.url).database == found.database
