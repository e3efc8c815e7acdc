"""A relay that reads HTTP/1 from the first byte, so that it can answer a request itself.

It stays one connection to one connection, as the plain relay is: one request at a time, headers and connection
handling passed through. Pipelined requests wait in h11's buffer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import h11

from gameday.proxy.relay import Endpoint, Relay, Roster

__all__ = ["HttpRelay"]

_HEAD_LIMIT = 64 * 1024  # bytes of one message's head
_PIPELINE_LIMIT = 64 * 1024  # bytes of later requests kept while one is under way
_LINGER = 1.0  # real seconds for a client to read a last answer before the connection is cut
_OVER = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
_PIPELINE_FULL = "the pipeline is full"
_UNREAD = "answers are not read"


class HttpRelay(Relay):
    """Asks ``strike`` at every request: None passes it on, a status is what the client gets instead."""

    def __init__(self, upstream: str, roster: Roster, strike: Callable[[], int | None]) -> None:
        super().__init__(upstream, roster)
        self._strike = strike
        self._down = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT)
        self._up = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT)
        self._struck: int | None = None
        self._head = False
        self._raw = False
        self._finished = False
        self._linger: asyncio.TimerHandle | None = None

    # What the ends tell.

    def received(self, end: Endpoint, data: bytes) -> None:
        """Bytes came in at an end."""
        if self._raw:
            super().received(end, data)
        elif not self._finished:
            (self._down if end is self.client else self._up).receive_data(data)
            self._advance()

    def full(self, end: Endpoint) -> None:
        """An end's peer does not keep up. A client that does not read its answers may ask for no more, either."""
        super().full(end)
        if end is self.client:
            end.hold(_UNREAD)

    def drained(self, end: Endpoint) -> None:
        """An end's peer caught up."""
        super().drained(end)
        end.release(_UNREAD)

    def gone(self, end: Endpoint, clean: bool) -> None:
        """An end is gone. The upstream's end of file may be the end of an answer without a length."""
        if end is self.client and self._linger is not None:
            self._linger.cancel()
        if end is self.upstream and not self._raw and not self._finished:
            self._upstream_gone(clean)
        if end is self.upstream and self._finished:
            self.settle()
        else:
            super().gone(end, clean)

    def _upstream_gone(self, clean: bool) -> None:
        if clean:  # after a reset, an answer without a length must not look as if it had ended
            self._up.receive_data(b"")
            self._advance()
        if self._down.our_state in _OVER and not self._finished:
            # The client may still be sending; a plain close would reset it before it has read the answer.
            self._finish()

    # Events, one at a time.

    def _advance(self) -> None:
        """Handle everything that can be handled with what has come in."""
        try:
            while not self._raw and not self._finished:
                moved = self._take_from_client()
                moved = self._take_from_upstream() or moved
                if not (self._next_request() or moved):
                    break
        except h11.ProtocolError as error:
            self._misunderstood(error)
        self._limit_pipeline()

    def _take_from_client(self) -> bool:
        # After its last request a client has nothing more to say, and h11 would take offence.
        event = h11.PAUSED if self._down.their_state in _OVER[1:] else self._down.next_event()
        if not isinstance(event, h11.Event):
            return False
        if isinstance(event, h11.Request):
            self._take_request(event)
        elif self._struck is None:
            self.upstream.write(self._up.send(event) or b"")
        elif isinstance(event, h11.EndOfMessage):
            # The request's body is read to its end first, so that the connection can be kept.
            self._answer(self._struck, close=False)
        return True

    def _take_request(self, request: h11.Request) -> None:
        self._head = request.method == b"HEAD"
        self._struck = self._strike()
        if self._struck is None:
            self.upstream.write(self._up.send(self._as_http_11(request)) or b"")
        elif self._down.they_are_waiting_for_100_continue:
            # Whether the body will follow is open, so the connection can not be used for another request.
            self._answer(self._struck, close=True)

    def _as_http_11(self, request: h11.Request) -> h11.Request:
        if request.http_version >= b"1.1":
            return request
        headers = request.headers.raw_items()
        if not any(name.lower() == b"host" for name, _ in headers):  # HTTP/1.0 may leave it out
            headers.append((b"Host", self._address.encode("ascii", "replace")))
        return h11.Request(method=request.method, target=request.target, headers=headers)

    def _take_from_upstream(self) -> bool:
        event = h11.PAUSED if self._finished or self._up.their_state in _OVER[1:] else self._up.next_event()
        if not isinstance(event, h11.Event) or isinstance(event, h11.ConnectionClosed):
            return False
        self._pass_down(event)
        if self._up.their_state is h11.SWITCHED_PROTOCOL:
            self._raw = True
            self.client.write(self._up.trailing_data[0])
            self.upstream.write(self._down.trailing_data[0])
        return True

    def _pass_down(self, event: h11.Event) -> None:
        old_client = (self._down.their_http_version or b"1.1") < b"1.1"
        if isinstance(event, h11.InformationalResponse) and old_client and event.status_code != 101:
            return  # HTTP/1.0 knows no interim answers ...
        if isinstance(event, h11.EndOfMessage) and old_client:
            event = h11.EndOfMessage()  # ... and no trailers
        if isinstance(event, h11.Response) and event.http_version < b"1.1":
            event = _closing(event)  # this upstream answers once only, and the client must know
        self.client.write(self._down.send(event) or b"")

    def _next_request(self) -> bool:
        """Make ready for the client's next request, or close where there can be none."""
        if self._raw or self._finished:
            return False
        if self._down.our_state not in _OVER or self._down.their_state not in _OVER:
            return False
        unused = self._up.our_state is h11.IDLE and self._up.their_state is h11.IDLE
        reusable = self._up.our_state is h11.DONE and self._up.their_state is h11.DONE
        if self._down.our_state is not h11.DONE or not (unused or reusable):
            self._finish()
            return False
        self._down.start_next_cycle()
        if reusable:
            self._up.start_next_cycle()
        return True

    # Answers of our own, and the end.

    def _answer(self, status: int, close: bool) -> None:
        body = f"{status}\n".encode()
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        response = h11.Response(status_code=status, headers=headers, reason=_reason(status))
        parts = [self._down.send(_closing(response) if close else response)]
        if not self._head:
            parts.append(self._down.send(h11.Data(data=body)))
        parts.append(self._down.send(h11.EndOfMessage()))
        self.client.write(b"".join(part or b"" for part in parts))
        if close:
            self._finish()

    def _finish(self) -> None:
        """The last answer of this connection has been sent: let the client read it, then close."""
        self._finished = True
        self.upstream.abort()
        if self.client.lost:
            return
        self.client.finish()
        self._linger = asyncio.get_running_loop().call_later(_LINGER, self._cut)

    def _cut(self) -> None:
        if self.client.unsent:  # a slow reader is not to lose a long answer
            self._linger = asyncio.get_running_loop().call_later(_LINGER, self._cut)
        else:
            self.client.abort()

    def _misunderstood(self, error: h11.ProtocolError) -> None:
        """The client gets an answer if it is to blame and has none yet; otherwise both ends are closed."""
        theirs = isinstance(error, h11.RemoteProtocolError) and self._down.their_state is h11.ERROR
        if theirs and self._down.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(error.error_status_hint, close=True)
        else:
            self.abort()

    def _limit_pipeline(self) -> None:
        waiting = not self._raw and not self._finished and len(self._down.trailing_data[0]) > _PIPELINE_LIMIT
        if waiting:
            self.client.hold(_PIPELINE_FULL)
        else:
            self.client.release(_PIPELINE_FULL)


def _closing(response: h11.Response) -> h11.Response:
    headers = [(name, value) for name, value in response.headers.raw_items() if name.lower() != b"connection"]
    return h11.Response(
        status_code=response.status_code, headers=[*headers, (b"Connection", b"close")], reason=response.reason
    )


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
