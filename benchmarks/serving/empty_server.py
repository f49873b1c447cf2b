"""Fermion's HTTP layer with nothing behind it: reads the same bodies and answers the same number of bytes. The floor."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

from fermion.cloud.protocol import Clients, Connection
from fermion.cloud.reply import Headers, Reply
from fermion.cloud.service import Send
from fermion.core.sections import Serve

ANSWER = Reply(b'{"rows":[]' + b" " * 400 + b"}")


class Empty:
    """What a connection needs of a service."""

    serve = Serve()

    def refuse(self, method: str, path: str, headers: Headers) -> Reply | None:
        return None

    def handle(self, method: str, path: str, body: bytes, send: Send) -> None:
        send(ANSWER)

    def hung_up(self, ticket: object) -> None:
        return None


async def main(port: int) -> None:
    service: Any = Empty()
    clients = Clients(service)
    listener = socket.create_server(("127.0.0.1", port))
    server = await asyncio.get_running_loop().create_server(lambda: Connection(clients), sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
