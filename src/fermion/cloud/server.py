"""Carries the service over HTTP: one ASGI function on uvicorn with uvloop and httptools."""

from __future__ import annotations

import asyncio
import functools
import gc
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fermion.bundle import bundle as bundles
from fermion.cloud.page import curl
from fermion.cloud.reply import HungUp
from fermion.cloud.service import Service, too_large
from fermion.core.errors import RequestRejected, Told, UsageError
from fermion.core.sections import Serve

Receive = Callable[[], Any]
Asgi = Callable[[Any, Receive, Callable[[Any], Any]], Any]

BODY_SECONDS = 30.0  # that a client may take to send its body
LINGER_SECONDS = 2.0  # that a refused body is read and thrown away, so that the client gets to read why
GRACE_SECONDS = 5  # that running requests get when the service stops


def serve(path: str | Path, settings: Serve | None = None, *, say: Callable[[str], None] = print) -> None:
    """Serve a bundle until SIGTERM or SIGINT, then finish what waits and return.

    Prints one line once requests are answered: the URL and a command to try.

    Args:
        path: of a bundle, a folder or a zip.
        settings: host, port (0 takes any free one), sizes of queue, batch and body, threads per model call.
        say: takes that line.

    Raises:
        UsageError: the port is taken or not allowed.
        BundleError: the bundle is broken, or does not answer its own golden rows.
    """
    settings = settings or Serve()
    listener = _listen(settings.host, settings.port)
    with listener:
        _run(Service.of(bundles.open(path), settings), listener, say)


def asgi(service: Service) -> Asgi:
    """The service as an ASGI 3 application; its lifespan starts and stops it."""

    async def app(scope: Any, receive: Receive, send: Callable[[Any], Any]) -> None:
        if scope["type"] == "http":
            answer = await service.handle(scope["method"], scope["path"], scope["headers"], functools.partial(_read, receive))
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            await send({"type": "http.response.body", "body": answer.body})
        elif scope["type"] == "lifespan":
            await _lifespan(service, receive, send)

    return app


async def _read(receive: Receive, most: int) -> bytes:
    """The body; nearly always one message."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise HungUp
    body: bytes = message["body"]
    if message["more_body"]:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read_on(receive, body, most)
        except TimeoutError:
            raise RequestRejected(
                "the body", rule=f"whole within {BODY_SECONDS:g} s", given=Told("a part of it"), where="body", status=408
            ) from None
    if len(body) > most:
        raise too_large(most, Told(f"{len(body)} bytes"))
    return body


async def _read_on(receive: Receive, first: bytes, most: int) -> bytes:
    parts, size, more = [first], len(first), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        size += len(message["body"])
        if size > most:
            await _linger(receive, message["more_body"])
            raise too_large(most, Told(f"more than {most} bytes"))
        parts.append(message["body"])
        more = message["more_body"]
    return b"".join(parts)


async def _linger(receive: Receive, more: bool) -> None:
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while more:
                more = (await receive()).get("more_body", False)
    except TimeoutError:
        return


async def _lifespan(service: Service, receive: Receive, send: Callable[[Any], Any]) -> None:
    await receive()
    try:
        await service.start()
    except Exception as bad:
        await send({"type": "lifespan.startup.failed", "message": str(bad)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    service.stop()
    service.close()
    await send({"type": "lifespan.shutdown.complete"})


def _run(service: Service, listener: socket.socket, say: Callable[[str], None]) -> None:
    import uvicorn

    config = uvicorn.Config(
        asgi(service),
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="off",  # `_until_stopped` starts the service itself, so that /healthz answers while the model warms up
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,  # longer than the 60 s after which load balancers let go, so that they never meet a closed connection
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_stopped(service, uvicorn.Server(config), listener, say))


async def _until_stopped(service: Service, server: Any, listener: socket.socket, say: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    serving = loop.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.001)

    def stop() -> None:
        server.force_exit = service.stopping  # asked twice: do not wait
        service.stop()
        server.should_exit = True

    # After uvicorn's own handlers, which would raise the signal again at the end: a drained service ends with exit code 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await service.start()
        gc.collect()
        gc.freeze()  # what was loaded stays; the collector need not look at it again between requests
        url = _url(listener)
        say(f"Serving {service.name} at {url}  Try: {_attempt(service, url)}")
    except BaseException:
        stop()
        raise
    finally:
        await serving
        service.close()


def _attempt(service: Service, url: str) -> str:
    command = curl(url, service.example)
    return command if len(command) <= 500 else f"open {url}/docs"


def _listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; a server on a taken port says so before it loads anything."""
    where = f"serve.host={host} serve.port={port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as bad:
        raise UsageError(
            "serve.host", rule="an address of this machine", given=Told(f"{host} ({bad.strerror or bad})"), where=where
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as bad:
        listener.close()
        raise UsageError(
            "the address of the service",
            rule="free and allowed",
            given=Told(f"{host}:{port} ({bad.strerror})"),
            remedy="Choose another port, or serve.port=0 for any free one.",
            where=where,
        ) from None
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:  # not made for Windows
        return None
    return uvloop.new_event_loop
