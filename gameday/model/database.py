"""The address of a PostgreSQL: ``postgresql://HOST:PORT/DATABASE``, or ``postgresql:///DATABASE?host=/folder``
where it listens on a Unix socket. It may name the user (``?user=NAME``), never a password."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

__all__ = ["SCHEME", "DatabaseAddress", "database_address"]

SCHEME = "postgresql"
_PORT = 5432
_KEYS = frozenset({"host", "port", "user"})
_OTHERS = frozenset({"dbname", "hostaddr", "options", "passfile", "password", "service", "sslmode", "sslrootcert"})
"""Keys of libpq that a message may name: any other may be a piece of a password."""


@dataclass(frozen=True)
class DatabaseAddress:
    """Where one server is, and which database there is meant."""

    host: str
    """A name, an IP address, or the folder of a Unix socket."""
    database: str
    port: int = _PORT
    user: str = ""
    """Empty: whoever uses the address knows."""

    @property
    def url(self) -> str:
        """As `database_address` reads it."""
        named = {"user": self.user} if self.user else {}
        if self.host.startswith("/"):
            query = urlencode({"host": self.host, "port": self.port, **named}, quote_via=quote)
            return f"{SCHEME}:///{quote(self.database, safe='')}?{query}"
        host = f"[{self.host}]" if ":" in self.host else quote(self.host, safe="")
        query = f"?{urlencode(named, quote_via=quote)}" if named else ""
        return f"{SCHEME}://{host}:{self.port}/{quote(self.database, safe='')}{query}"


def database_address(url: str) -> DatabaseAddress:
    """What the address says; ValueError if it is not a database's. Its text repeats nothing that may be a password,
    wherever that stands."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("its host and port can not be read: HOST:PORT, and no credentials") from None
    if parts.scheme != SCHEME or parts.fragment:
        raise ValueError(f"a database's address begins with {SCHEME}://, and has no fragment")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address holds no credentials")
    given = _query(parts.query)
    host = unquote(parts.hostname or "")
    if (host and "host" in given) or (port is not None and "port" in given):
        raise ValueError("it names two hosts or ports")
    host = host or given.get("host", "")
    if not host or "," in parts.netloc + host or "\0" in host:
        raise ValueError("it has to name one host, or ?host=/FOLDER of a socket")
    database = unquote(parts.path.removeprefix("/"))
    if not database or "/" in database or "\0" in database:
        raise ValueError("it has to name one database: /DATABASE")
    return DatabaseAddress(host, database, port or _number(given.get("port", str(_PORT))), given.get("user", ""))


def _query(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True) if text else []
    except ValueError:
        raise ValueError("what follows its '?' is not of the form KEY=VALUE&KEY=VALUE") from None
    found = dict(pairs)
    unknown = found.keys() - _KEYS
    if unknown:
        raise ValueError(f"it may say host, port and user, not {', '.join(sorted(unknown & _OTHERS)) or 'more'}")
    if len(found) != len(pairs) or not all(found.values()):
        raise ValueError("each of host, port and user is said once, and is not empty")
    return found


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError("its port is no port")
    return int(text)
