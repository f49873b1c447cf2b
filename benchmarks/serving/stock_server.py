"""The same service carried by stock servers, to see what the HTTP layer costs: uvicorn's and granian's ASGI, granian's RSGI.

python stock_server.py uvicorn BUNDLE PORT
python stock_server.py asgi BUNDLE PORT        # granian
python stock_server.py rsgi BUNDLE PORT        # granian
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

from fermion.bundle import bundle as bundles
from fermion.cloud.reply import Reply
from fermion.cloud.service import Service


class Carrier:
    """The service as an ASGI and an RSGI application."""

    def __init__(self, path: str) -> None:
        self.service = Service.of(bundles.open(path))
        self.starting: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await self.service.start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        reply = await self.ask(scope["method"], scope["path"], body)
        headers = [(b"content-type", reply.kind), (b"content-length", b"%d" % len(reply.body)), *reply.more]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.starting = loop.create_task(self.service.start())

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        reply = await self.ask(scope.method, scope.path, await protocol())
        protocol.response_bytes(reply.status, [("content-type", reply.kind.decode())], reply.body)

    def ask(self, method: str, path: str, body: bytes) -> asyncio.Future[Reply]:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.service.handle(method, path, body, future.set_result)
        return future


if "BUNDLE" in os.environ:  # in granian's worker
    app = Carrier(os.environ["BUNDLE"])

if __name__ == "__main__":
    kind, path, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "uvicorn":
        import uvicorn

        uvicorn.run(
            Carrier(path),
            port=port,
            loop="uvloop",
            http="httptools",
            ws="none",
            interface="asgi3",
            access_log=False,
            log_level="warning",
            proxy_headers=False,
            server_header=False,
        )
    else:
        os.environ["BUNDLE"] = path
        command = ["granian", "--interface", kind, "--loop", "uvloop", "--port", str(port), "--no-ws", "--log-level", "error"]
        os.execvp(sys.executable, [sys.executable, "-m", *command, "stock_server:app"])
