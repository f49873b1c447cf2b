"""Serves a bundle over HTTP until it is told to stop."""

from __future__ import annotations

import asyncio
import functools
import gc
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from fermion.bundle import bundle as bundles
from fermion.cloud.protocol import Clients, Connection
from fermion.cloud.service import Service
from fermion.core.errors import Told, UsageError
from fermion.core.sections import Serve

GRACE_SECONDS = 10.0  # that running requests get when the service stops
BACKLOG = 2048  # connections that may wait to be accepted


def serve(path: str | Path, settings: Serve | None = None, *, say: Callable[[str], None] | None = None) -> None:
    """Serve a bundle until SIGTERM or SIGINT, then finish what waits and return.

    Prints one line once requests are answered: the URL and a command to try.

    Args:
        path: of a bundle, a folder or a zip.
        settings: host, port (0 takes any free one), sizes of queue, batch and body, threads per model call.
        say: takes that line; it is printed when left out.

    Raises:
        UsageError: the port is taken or not allowed.
        BundleError: the bundle is broken, or does not answer its own golden rows.
    """
    settings = settings or Serve()
    listener = _listen(settings.host, settings.port)
    with listener:
        _run(Service.of(bundles.open(path), settings), listener, say or functools.partial(print, flush=True))


def _run(service: Service, listener: socket.socket, say: Callable[[str], None]) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_stopped(service, listener, say))


async def _until_stopped(service: Service, listener: socket.socket, say: Callable[[str], None]) -> None:
    """Answer from the first moment (/healthz), predict once the model is warm, and drain when asked to stop."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    clients = Clients(service)
    server = await loop.create_server(lambda: Connection(clients), sock=listener, backlog=BACKLOG)
    sweeping = loop.create_task(_sweep(clients))
    try:
        await service.start()
        gc.freeze()  # what was loaded stays: the collector need not look at it again between requests
        from fermion.cloud.page import curl

        url = _url(listener)
        say(f"Serving {service.name} at {url}  Try: {curl(url, service.example)}")
        await asked.wait()
    finally:
        service.stop()
        server.close()
        clients.stop()
        until = loop.time() + GRACE_SECONDS
        while clients.open and loop.time() < until:
            clients.sweep(loop.time())
            await asyncio.sleep(0.02)
        clients.abort()
        sweeping.cancel()
        service.close()


async def _sweep(clients: Clients) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(1.0)
        clients.sweep(clock())


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
