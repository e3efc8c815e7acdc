"""A relay: one client's connection, the connection to the upstream that belongs to it, and bytes both ways."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import cast

from gameday.proxy.wire import split_address

__all__ = ["Endpoint", "Relay", "Roster"]

_DIAL_TIMEOUT = 5.0  # real seconds
_FULL = "the other end is full"
_ALONE = "no upstream yet"


class Endpoint(asyncio.Protocol):
    """One end of a relay; tells the relay everything that happens there."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._transport: asyncio.Transport | None = None
        self._holds: set[str] = set()
        self.lost = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)
        self._relay.made(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self._relay.received(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: by us, by an end of file (``exc`` is None) or by an error."""
        self.lost = True
        self._relay.gone(self, clean=exc is None)

    def pause_writing(self) -> None:
        """More was written than the peer takes."""
        self._relay.full(self)

    def resume_writing(self) -> None:
        """The peer caught up."""
        self._relay.drained(self)

    # What the relay calls.

    @property
    def made(self) -> bool:
        """Whether this end was ever connected."""
        return self._transport is not None

    @property
    def unsent(self) -> int:
        """Bytes written here that the peer has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def write(self, data: bytes) -> None:
        """Send, unless there is nothing to send or nobody to send to."""
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def hold(self, reason: str) -> None:
        """Read no more until every reason is released."""
        self._holds.add(reason)
        if self._transport is not None:
            self._transport.pause_reading()

    def release(self, reason: str) -> None:
        """The reason is gone."""
        self._holds.discard(reason)
        if self._transport is not None and not self._holds:
            self._transport.resume_reading()

    def finish(self) -> None:
        """Send no more, but go on reading, so that what was sent is not lost to a reset."""
        for reason in list(self._holds):
            self.release(reason)
        if self._transport is not None:
            with contextlib.suppress(OSError):  # the peer has reset the connection already
                self._transport.write_eof()

    def close(self) -> None:
        """Send what is still buffered, then close."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


@dataclass
class Roster:
    """The relays of one listener for as long as it listens."""

    open: bool = True
    """False: connections that are still being accepted are closed at once."""
    relays: set[Relay] = field(default_factory=set)

    async def close(self) -> None:
        """Close every connection; returns when they are closed."""
        self.open = False
        relays = list(self.relays)
        for relay in relays:
            relay.abort()
        for relay in relays:
            await relay.ended.wait()


class Relay:
    """Passes bytes between a client and an upstream until either closes; then closes the other (no half-close).

    The listener makes one for every connection that it accepts; it stands in the roster until both ends are gone.
    """

    def __init__(self, upstream: str, roster: Roster) -> None:
        self._address = upstream
        self._roster = roster
        self._dialling: asyncio.Task[None] | None = None
        self.client = Endpoint(self)
        self.upstream = Endpoint(self)
        self.ended = asyncio.Event()

    def other(self, end: Endpoint) -> Endpoint:
        """The opposite end."""
        return self.upstream if end is self.client else self.client

    def made(self, end: Endpoint) -> None:
        """An end is connected; the client's, the first, waits until the upstream's is."""
        if end is self.upstream:
            self.client.release(_ALONE)
        elif self._roster.open:
            self._roster.relays.add(self)
            end.hold(_ALONE)
            self._dialling = asyncio.get_running_loop().create_task(self._dial())
            self._dialling.add_done_callback(self._dialled)
        else:
            end.abort()

    def received(self, end: Endpoint, data: bytes) -> None:
        """Bytes came in at an end."""
        self.other(end).write(data)

    def full(self, end: Endpoint) -> None:
        """An end's peer does not keep up: whoever feeds it must wait."""
        self.other(end).hold(_FULL)

    def drained(self, end: Endpoint) -> None:
        """An end's peer caught up."""
        self.other(end).release(_FULL)

    def gone(self, end: Endpoint, clean: bool) -> None:
        """An end is gone; ``clean`` if it was not by an error."""
        self.other(end).close()
        self.settle()

    def abort(self) -> None:
        """Close both ends at once."""
        self.client.abort()
        self.upstream.abort()

    def settle(self) -> None:
        """Leave the roster if everything is over."""
        if not self.client.lost:
            return
        if self._dialling is not None:
            self._dialling.cancel()  # comes back here when it is done
        elif self.upstream.lost or not self.upstream.made:
            self._roster.relays.discard(self)
            self.ended.set()

    async def _dial(self) -> None:
        try:
            host, port = split_address(self._address)
            async with asyncio.timeout(_DIAL_TIMEOUT):
                await asyncio.get_running_loop().create_connection(lambda: self.upstream, host, port)
        except (OSError, ValueError):  # TimeoutError is an OSError
            self.client.close()

    def _dialled(self, task: asyncio.Task[None]) -> None:
        self._dialling = None
        if not self.upstream.made:
            self.client.close()
        self.settle()
