"""A relay: one client's connection, the connection to the upstream that belongs to it, and bytes both ways."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

from gameday.proxy.links import Ending, Link
from gameday.proxy.toxics import Draw, ResetPeer, Toxic
from gameday.proxy.wire import split_address

__all__ = ["Endpoint", "Relay", "Roster"]

_DIAL_TIMEOUT = 5.0  # real seconds
_FULL = "the other end is full"
_ALONE = "no upstream yet"
_NO_LINGER = struct.pack("ii", 1, 0)


class Endpoint(asyncio.Protocol):
    """One end of a relay; tells the relay everything that happens there."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._transport: asyncio.Transport | None = None
        self._holds: set[str] = set()
        self._reading = False  # whether asyncio has begun to read here
        self._link: Link | None = None  # most connections meet no toxic: for those there is none
        self.lost = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)
        self._relay.made(self)
        # Before Python 3.11.4 asyncio begins to read after this has returned, whatever was paused by then.
        asyncio.get_running_loop().call_soon(self._begin_reading)

    def _begin_reading(self) -> None:
        self._reading = True
        if self._holds and self._transport is not None:
            self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        if self._link is None:
            self._relay.received(self, data)
        else:
            self._link.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: by us, by an end of file (``exc`` is None) or by an error."""
        self.lost = True
        if self._link is None:
            self._relay.gone(self, clean=exc is None)
        else:
            self._link.end(Ending.CLEAN if exc is None else Ending.ERROR)
            self._relay.settle()  # a toxic may have ended it before, or may hold the end back

    def pause_writing(self) -> None:
        """More was written than the peer takes."""
        self._relay.full(self)

    def resume_writing(self) -> None:
        """The peer caught up."""
        self._relay.drained(self)

    # What the link calls, beside `hold` and `release`.

    def passed(self, data: bytes) -> None:
        """Bytes that came in here and that toxics let pass."""
        self._relay.received(self, data)

    def ended(self, ending: Ending) -> None:
        """What came in here has ended, and all of it has passed."""
        if ending is Ending.CUT:
            self._relay.cut(self)
        else:
            self._relay.gone(self, clean=ending is Ending.CLEAN)

    # What the relay calls.

    def add(self, toxic: Toxic, acts: bool) -> None:
        """What comes in here meets that toxic."""
        self._link = self._link or Link(self)
        self._link.add(toxic, acts)

    def change(self, toxic: Toxic, acts: bool) -> None:
        """The toxic of that name has other values."""
        if self._link is not None:
            self._link.change(toxic, acts)

    def remove(self, name: str) -> None:
        """The toxic of that name is removed."""
        if self._link is not None:
            self._link.remove(name)
            if not self._link.needed:
                self._link = None

    def drop(self) -> None:
        """Forget what toxics hold of what came in here."""
        if self._link is not None:
            self._link.drop()

    def close_hard(self) -> None:
        """Whenever this connection is closed, it is reset, and what was not sent by then is lost."""
        if self._transport is not None:
            with contextlib.suppress(OSError):
                sock = cast(socket.socket, self._transport.get_extra_info("socket"))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)

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
        if self._transport is not None and self._reading:
            self._transport.pause_reading()

    def release(self, reason: str) -> None:
        """The reason is gone."""
        self._holds.discard(reason)
        if self._transport is not None and self._reading and not self._holds:
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
    toxics: Callable[[], Iterable[Toxic]] = list
    """Those that a connection meets that begins now, in this order; drawn for each in its direction."""
    draw: Draw = random.random
    relays: set[Relay] = field(default_factory=set)

    def add(self, toxic: Toxic) -> None:
        """A toxic was set: open connections meet it, too."""
        for relay in self._meeting():
            relay.source(toxic).add(toxic, toxic.acts(self.draw))

    def change(self, toxic: Toxic) -> None:
        """A toxic has other values."""
        for relay in self._meeting():
            relay.source(toxic).change(toxic, toxic.acts(self.draw))

    def remove(self, toxic: Toxic) -> None:
        """A toxic was removed."""
        for relay in self._meeting():
            relay.source(toxic).remove(toxic.name)

    def _meeting(self) -> list[Relay]:
        return [relay for relay in self.relays if relay.upstream.made]

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

    def source(self, toxic: Toxic) -> Endpoint:
        """The end that sends what this toxic acts on."""
        return self.client if toxic.upstream else self.upstream

    def made(self, end: Endpoint) -> None:
        """An end is connected; the client's, the first, waits until the upstream's is."""
        if end is self.upstream:
            self._begin()
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

    def cut(self, end: Endpoint) -> None:
        """A toxic ends what comes from an end: the other is closed, and this one when that is gone."""
        self.other(end).close()
        self.settle()

    def abort(self) -> None:
        """Close both ends at once."""
        for end in (self.client, self.upstream):
            end.drop()
            end.abort()

    def settle(self) -> None:
        """Leave the roster if everything is over."""
        if not self.client.lost:
            return
        if self._dialling is not None:
            self._dialling.cancel()  # comes back here when it is done
        elif self.upstream.lost or not self.upstream.made:
            self._roster.relays.discard(self)
            self.client.drop()
            self.upstream.drop()
            self.ended.set()

    def _begin(self) -> None:
        """Both ends are connected: draw for every toxic that stands."""
        for toxic in self._roster.toxics():
            if isinstance(toxic.attributes, ResetPeer):
                # As the stock server does it: drawn or not, in either direction.
                self.client.close_hard()
                self.upstream.close_hard()
            self.source(toxic).add(toxic, toxic.acts(self._roster.draw))

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
