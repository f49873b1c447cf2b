"""HTTP/1.1 for the service: one object per connection that feeds httptools' parser and writes each reply in one piece.

A general web framework makes a task, a future and a dozen objects per request, which costs more than the model call. Here a request is
a call to `Service.handle` and a reply is one `write`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import httptools

from fermion.cloud.batcher import Ticket
from fermion.cloud.reply import Reply
from fermion.cloud.service import PREDICT, Service
from fermion.core.errors import RequestRejected, Told

IDLE_SECONDS = 75.0  # longer than the 60 s after which load balancers let go, so that they never meet a closed connection
READ_SECONDS = 30.0  # that a client may take to send one request
LINGER_SECONDS = 2.0  # that what follows a refusal is read and thrown away, so that the client gets to read why
HEAD_BYTES = 65_536

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PREDICT = PREDICT.encode()
_PHRASES = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    422: b"Unprocessable Content",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}


def http_date(seconds: float) -> bytes:
    """The moment as HTTP writes it.

    >>> http_date(784111777)
    b'Sun, 06 Nov 1994 08:49:37 GMT'
    """
    at = time.gmtime(seconds)
    hour = f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}"
    return f"{_DAYS[at.tm_wday]}, {at.tm_mday:02d} {_MONTHS[at.tm_mon - 1]} {at.tm_year} {hour} GMT".encode()


class Clients:
    """The open connections, and what they share. `sweep` is called once a second."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.open: set[Connection] = set()
        self.stopping = False
        self.sweep(0.0)

    def sweep(self, now: float) -> None:
        """Tell the time, and close what was silent for too long."""
        self.date = b"date: " + http_date(time.time()) + b"\r\n"
        self.fine = b"HTTP/1.1 200 OK\r\n" + self.date + b"content-type: application/json\r\ncontent-length: "
        for connection in list(self.open):
            connection.check(now)

    def stop(self) -> None:
        """Close what is idle now and the rest after its answer."""
        self.stopping = True
        for connection in list(self.open):
            connection.finish()

    def abort(self) -> None:
        """Close everything at once."""
        for connection in list(self.open):
            connection.abort()


class _Message:
    """One request as it arrives."""

    __slots__ = ("begun", "body", "headers", "keep", "method", "path", "refused", "size", "url", "wants_body")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.url, self.method, self.path = b"", "", ""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.size = 0
        self.wants_body = self.refused = False
        self.keep = True


class Connection(asyncio.Protocol):
    """One client: bytes to requests, answered in order, one at a time."""

    def __init__(self, clients: Clients) -> None:
        self._clients, self._service = clients, clients.service
        self._clock = asyncio.get_running_loop().time
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._message: _Message | None = None  # arriving
        self._asked: _Message | None = None  # being answered
        self._ticket: Ticket | None = None
        self._next: deque[tuple[_Message, Reply | None]] = deque()  # arrived before the answer to the one before: pipelining
        self._head = 0  # bytes of a head that is not whole yet
        self._since = self._clock()
        self._choked = False  # the client reads more slowly than it asks
        self._last = False  # no request is taken after those that have arrived
        self._deaf = False  # what arrives is thrown away
        self._leaving = False  # the last reply was written

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._clients.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.open.discard(self)
        self._transport = None
        refused = self._message is not None and self._message.refused
        if self._ticket is not None or (self._message is not None and not refused):
            self._service.hung_up(self._ticket)
        self._ticket = self._message = None
        self._next.clear()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = self._last = True  # nothing to upgrade to: the request is answered as it is, what follows is not HTTP/1.1
            if self._asked is None and not self._next:
                self._close()
        except httptools.HttpParserError as bad:
            self._lost(RequestRejected("the request", rule="HTTP/1.1", given=Told(str(bad) or type(bad).__name__), where="head"))
        if self._message is not None and not self._message.method:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                rule = f"at most {HEAD_BYTES} bytes"
                self._lost(RequestRejected("the head of a request", rule=rule, given=Told("more"), where="head", status=431))

    # What the parser finds, in this order.

    def on_message_begin(self) -> None:
        self._message = _Message(self._clock())
        self._message.refused = self._last  # pipelined behind the last request that is answered

    def on_url(self, url: bytes) -> None:
        self._message.url += url  # type: ignore[union-attr]

    def on_header(self, name: bytes, value: bytes) -> None:
        self._message.headers.append((name.lower(), value))  # type: ignore[union-attr]

    def on_headers_complete(self) -> None:
        message, self._head = self._message, 0
        assert message is not None
        message.method = self._parser.get_method().decode("ascii")
        if message.url == _PREDICT:
            message.path = PREDICT
        else:
            message.path = _path(message.url)
        message.wants_body = message.path == PREDICT and message.method == "POST"
        if not message.wants_body or message.refused:
            return
        refused = self._service.refuse(message.method, message.path, message.headers)
        if refused is not None:
            self._answer_early(message, refused)
        elif (b"expect", b"100-continue") in message.headers and self._asked is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        message = self._message
        assert message is not None
        if not message.wants_body or message.refused:
            return
        message.size += len(body)
        if message.size > self._service.serve.body:
            self._answer_early(message, self._service.too_large(f"more than {self._service.serve.body} bytes"))
        else:
            message.body.append(body)

    def on_message_complete(self) -> None:
        message, self._message = self._message, None
        assert message is not None
        if message.refused:
            if self._leaving:
                self._close()
            return
        message.keep = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"
        if self._asked is None and not self._next and not self._choked:
            self._ask(message)
        elif self._transport is not None:
            self._next.append((message, None))
            self._transport.pause_reading()

    # Answers.

    def _ask(self, message: _Message) -> None:
        self._asked = message
        body = message.body[0] if len(message.body) == 1 else b"".join(message.body)
        ticket = self._service.handle(message.method, message.path, body, self._send)
        if self._asked is message:
            self._ticket = ticket

    def _send(self, reply: Reply) -> None:
        """Write the reply to the request that is being answered."""
        message, self._asked, self._ticket = self._asked, None, None
        if self._transport is None or message is None:
            return
        self._since = self._clock()
        keep = message.keep and not self._clients.stopping and not (self._last and not self._next)
        if keep and reply.status == 200 and message.wants_body:
            self._transport.write(b"%b%d\r\n\r\n%b" % (self._clients.fine, len(reply.body), reply.body))
        else:
            self._transport.write(_wire(reply, self._clients.date, keep=keep, bare=message.method == "HEAD"))
        if not keep:
            self._leave(message)
        elif self._next:
            asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        """The next request that has waited for its turn."""
        if self._transport is None or self._asked is not None or self._choked:
            return
        if not self._next:
            self._transport.resume_reading()
            return
        message, ready = self._next.popleft()
        if ready is None:
            self._ask(message)
        else:
            self._asked = message
            self._send(ready)
        if not self._next and self._transport is not None and not self._choked:
            self._transport.resume_reading()

    def _lost(self, bad: RequestRejected) -> None:
        """Nothing more will be understood: refuse once, and hear nothing else."""
        self._deaf = True
        if not self._last:
            self._answer_early(self._message or _Message(self._clock()), self._service.rejected(bad))

    def _answer_early(self, message: _Message, reply: Reply) -> None:
        """Answer a request before it is whole, and take no other on this connection."""
        message.refused, message.keep, self._last = True, False, True
        message.body.clear()
        if self._asked is None and not self._next:
            self._asked = message
            self._send(reply)
        else:
            self._next.append((message, reply))

    def _leave(self, message: _Message) -> None:
        """Close, at once or when the rest of a refused request has been read: closing on unread bytes would lose the reply."""
        self._leaving = True
        if message.refused and (self._deaf or self._message is message):
            self._transport.write_eof()
        else:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # Slow readers, silence, and the end.

    def pause_writing(self) -> None:
        self._choked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._choked = False
        if self._next:
            self._advance()
        elif self._transport is not None:
            self._transport.resume_reading()

    def check(self, now: float) -> None:
        """Close what has been silent for too long."""
        if self._asked is not None:
            return
        if self._leaving:
            if self._clients.stopping or now - self._since > LINGER_SECONDS:
                self._close()
        elif self._message is not None:
            if now - self._message.begun > (LINGER_SECONDS if self._clients.stopping else READ_SECONDS):
                given = Told("a part of it")
                self._lost(RequestRejected("the request", rule=f"whole within {READ_SECONDS:g} s", given=given, where="body", status=408))
        elif now - self._since > IDLE_SECONDS:
            self._close()

    def finish(self) -> None:
        """The service stops: close unless a request is on its way."""
        if self._asked is None and self._message is None and not self._next:
            self._close()

    def abort(self) -> None:
        """Close without another word."""
        if self._transport is not None:
            self._transport.abort()


def _wire(reply: Reply, date: bytes, *, keep: bool, bare: bool) -> bytes:
    """A reply as HTTP/1.1 writes it; `bare` leaves the body out, for HEAD."""
    length = (b"content-length", b"%d" % len(reply.body))
    headers: list[tuple[bytes, bytes]] = [(b"content-type", reply.kind), length, *reply.more]
    if not keep:
        headers.append((b"connection", b"close"))
    status = b"HTTP/1.1 %d %b\r\n" % (reply.status, _PHRASES[reply.status])
    head = b"".join([status, date, *(b"%b: %b\r\n" % header for header in headers), b"\r\n"])
    return head if bare else head + reply.body


def _path(url: bytes) -> str:
    """The path of a request's target, without its query.

    >>> _path(b"/v1/schema?pretty=1"), _path(b"http://host/docs")
    ('/v1/schema', '/docs')
    """
    try:
        return (httptools.parse_url(url).path or b"/").decode("latin-1")
    except httptools.HttpParserInvalidURLError:
        return url.decode("latin-1")
