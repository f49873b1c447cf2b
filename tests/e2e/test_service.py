"""The service as its users meet it: a process of its own, real sockets, clients that behave and clients that do not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from fermion.bundle import bundle as bundles
from fermion.bundle.golden import Golden
from fermion.bundle.manifest import Manifest, Provenance
from fermion.bundle.runtime import Runtime
from fermion.bundle.steps import Onnx
from fermion.cloud.client import Client
from fermion.cloud.server import serve
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Value
from fermion.columns.schema import Field, Schema
from fermion.core.errors import DataError, RequestRejected, UsageError, ValueRejected
from fermion.core.sections import Serve

PROGRAM = (
    "import sys, msgspec; from fermion.cloud.server import serve; from fermion.core.sections import Serve;"
    "serve(sys.argv[1], msgspec.json.decode(sys.argv[2], type=Serve))"
)
SLOW_SIDE = 900  # of the square matrix that the slow model multiplies: tens of milliseconds


def write_bundle(folder: Path, *, slow: bool = False) -> Path:
    """y = 2x + the brightest pixel; the slow one multiplies a large matrix on the way."""
    nodes = [
        helper.make_node("Mul", ["numbers", "two"], ["doubled"]),
        helper.make_node("Cast", ["picture.pixels"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["pixels", "inner"], ["brightest"], keepdims=0),
        helper.make_node("Squeeze", ["doubled", "last"], ["flat"]),
        helper.make_node("Add", ["flat", "brightest"], ["sum"]),
    ]
    constants = [
        numpy_helper.from_array(np.full((1, 1), 2, np.float32), "two"),
        numpy_helper.from_array(np.array([1, 2, 3], np.int64), "inner"),
        numpy_helper.from_array(np.array([1], np.int64), "last"),
    ]
    if slow:
        constants += [
            numpy_helper.from_array(np.array([SLOW_SIDE, SLOW_SIDE], np.int64), "side"),
            numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
        ]
        nodes += [
            helper.make_node("ReduceSum", ["sum"], ["all"], keepdims=0),
            helper.make_node("Mul", ["all", "zero"], ["nothing"]),
            helper.make_node("Expand", ["nothing", "side"], ["wide"]),
            helper.make_node("MatMul", ["wide", "wide"], ["product"]),
            helper.make_node("ReduceSum", ["product"], ["still"], keepdims=0),
            helper.make_node("Add", ["sum", "still"], ["y"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["sum"], ["y"]))
    inputs = [
        helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, 1]),
        helper.make_tensor_value_info("picture.pixels", TensorProto.UINT8, [None, 2, 2, 1]),
    ]
    graph = helper.make_graph(nodes, "line", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])], constants)
    model = onnx.ModelProto(ir_version=9, opset_import=[helper.make_opsetid("", 18)], graph=graph).SerializeToString()
    schema = Schema(fields=(Field(name="x", column=Number()), Field(name="picture", column=Image(height=2, width=2, channels=1))))
    steps = (Onnx(graph="main", inputs={"numbers": "numbers", "picture.pixels": "picture.pixels"}, outputs={"y": "y"}),)
    outputs = (Value(target="y", array="y"),)
    runtime = Runtime(schema=schema, steps=steps, graphs={"main": model}, outputs=outputs)
    golden = Golden.of(runtime, {"x": [1.0, 2.0], "picture": [np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)]})
    manifest = Manifest(
        name="line", task="regression", schema=schema, steps=steps, outputs=outputs, files={}, provenance=Provenance(fermion="test")
    )
    bundles.write(folder, manifest, graphs={"main": model}, golden=golden, profile=b"{}")
    return folder


class Live:
    """A server process."""

    def __init__(self, bundle: Path, **settings: Any) -> None:
        arguments = [sys.executable, "-c", PROGRAM, str(bundle), json.dumps({"port": 0, **settings})]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.line)
        assert found, self.process.communicate()[1]
        self.url, self.port = found[0], int(found[1])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def metric(self, name: str) -> float:
        text = talk(self.connect(), b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").decode()
        return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])  # type: ignore[index]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=15)
        return self.process.returncode, out, err

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("line") / "bundle")


@pytest.fixture(scope="module")
def slow_line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("slow") / "bundle", slow=True)


@pytest.fixture(scope="module")
def service(line: Path) -> Iterator[Live]:
    live = Live(line, body=200_000)
    yield live
    code, out, err = live.stop()
    assert (code, out, err) == (0, "", "")  # whatever the tests of this file did to it


@pytest.fixture
def start() -> Iterator[Callable[..., Live]]:
    started: list[Live] = []

    def made(bundle: Path, **settings: Any) -> Live:
        started.append(Live(bundle, **settings))
        return started[-1]

    yield made
    for live in started:
        live.kill()


def talk(connection: socket.socket, sent: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with connection:
        connection.sendall(sent)
        parts: list[bytes] = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)


def post(x: float = 1.0, *more: str) -> bytes:
    """One prediction as bytes."""
    body = json.dumps({"rows": [{"x": x, "picture": [[0, 0], [0, 9]]}]})
    head = ["POST /v1/predict HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {len(body)}", *more]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


LAST = "connection: close"


def test_the_line_that_it_prints_works(service: Live) -> None:
    assert service.line.startswith("Serving line at http://127.0.0.1:")
    command = service.line.split("Try: ")[1].strip()
    assert command.startswith(f"curl {service.url}/v1/predict ")
    longer = f"curl -s {service.url}/v1/example | curl {service.url}/v1/predict -H 'content-type: application/json' -d @-"
    for line in (command, longer):
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["rows"][0]["prediction"] == 2.0


def test_one_answer(service: Live) -> None:
    head, _, body = talk(service.connect(), post(3.0, LAST)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
    assert json.loads(body)["rows"][0]["prediction"] == 15.0


def test_requests_on_one_connection_are_answered_in_order(service: Live) -> None:
    many = b"".join(post(x) + b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" for x in range(200))
    answered = talk(service.connect(), many + post(-1.0, LAST))
    assert [float(x) for x in re.findall(rb'"prediction":([-\d.]+)', answered)] == [2.0 * x + 9 for x in range(200)] + [7.0]
    assert answered.count(b'{"alive":true}') == 200


@pytest.mark.parametrize("size", [1, 7])
def test_a_request_in_small_pieces(service: Live, size: int) -> None:
    with service.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = post(2.0, LAST)
        for at in range(0, len(sent), size):
            connection.send(sent[at : at + size])
        assert b'"prediction":13.0' in connection.recv(65536)


def test_head_http_1_0_chunks_and_continue(service: Live) -> None:
    head = talk(service.connect(), b"HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert head.endswith(b"\r\n\r\n")
    assert b'{"alive":true}' in talk(service.connect(), b"GET /healthz HTTP/1.0\r\n\r\n")
    assert b"404 Not Found" in talk(service.connect(), b"GET /nowhere?a=b HTTP/1.0\r\n\r\n")
    body = post(4.0).partition(b"\r\n\r\n")[2]
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:]))
    chunked = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n" + parts + b"0\r\n\r\n"
    assert b'"prediction":17.0' in talk(service.connect(), chunked)
    with service.connect() as connection:
        head, _, body = post(5.0, "expect: 100-continue", LAST).partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b'"prediction":19.0' in connection.recv(65536)


def test_an_upgrade_is_not_taken(service: Live) -> None:
    asked = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    assert b'{"alive":true}' in talk(service.connect(), asked)


def test_a_client_that_reads_slowly_gets_everything(service: Live) -> None:
    many, asked = 3_000, b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n"
    with service.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        asking = threading.Thread(target=connection.sendall, args=((asked + b"\r\n") * many + asked + b"connection: close\r\n\r\n",))
        asking.start()
        time.sleep(0.3)
        parts: list[bytes] = []
        while part := connection.recv(1 << 20):
            parts.append(part)
        asking.join(5)
    assert b"".join(parts).count(b'{"openapi":') == many + 1
    assert psutil.Process(service.process.pid).memory_info().rss < 300e6


def test_nothing_is_answered_after_a_refusal(service: Live) -> None:
    refused = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\ncontent-length: 3\r\n\r\n1,2"
    answered = talk(service.connect(), post() + refused + post() + b"garbage")
    assert [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", answered)] == [200, 415]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000, b"431 Request Header Fields Too Large"),
        (b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", b"400 Bad Request"),
        (b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\ncontent-length: 3\r\n\r\n1,2", b"415 Unsupported Media Type"),
        (b"PUT /v1/predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", b"405 Method Not Allowed"),
    ],
)
def test_what_is_no_request(service: Live, sent: bytes, status: bytes) -> None:
    answered = talk(service.connect(), sent)
    assert answered.startswith(b"HTTP/1.1 " + status)
    assert set(json.loads(answered.partition(b"\r\n\r\n")[2])["error"]) == {"code", "message", "where", "remedy"}


def test_a_hundred_megabytes_are_refused_and_not_kept(service: Live) -> None:
    process = psutil.Process(service.process.pid)
    before = process.memory_info().rss
    size = 100_000_000
    head = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size
    answered = talk(service.connect(), head + b" " * size)
    assert answered.startswith(b"HTTP/1.1 413 ")
    chunk = b"%x\r\n%b\r\n" % (1_000_000, b" " * 1_000_000)
    chunked = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + chunk * 100 + b"0\r\n\r\n"
    assert talk(service.connect(), chunked).startswith(b"HTTP/1.1 413 ")
    elsewhere = b"POST /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % size + b" " * size
    assert talk(service.connect(), elsewhere).startswith(b"HTTP/1.1 405 ")
    assert process.memory_info().rss - before < 20_000_000


def test_clients_that_hang_up_leave_no_trace_but_a_count(service: Live) -> None:
    process = psutil.Process(service.process.pid)
    before, counted = process.num_fds(), service.metric("fermion_hung_up_total")
    sent = post()
    for _ in range(20):
        with service.connect() as connection:
            connection.sendall(sent[: len(sent) - 5])
    for _ in range(20):
        with service.connect() as connection:
            connection.sendall(sent)  # and away, without reading
    with Client(service.url) as client:
        assert client.predict({"x": [1], "picture": [np.zeros((2, 2), np.uint8)]})["prediction"] == [2.0]
    until = time.monotonic() + 5
    while process.num_fds() > before and time.monotonic() < until:
        time.sleep(0.02)
    assert process.num_fds() <= before
    assert 20 <= service.metric("fermion_hung_up_total") - counted <= 40
    assert service.metric("fermion_queue_rows") == 0


def test_many_clients_at_once(service: Live) -> None:
    def ask(number: int) -> None:
        with Client(service.url) as client:
            for x in range(number, number + 20):
                assert client.predict([{"x": x, "picture": [[1, 2], [3, 4]]}])["prediction"] == [2.0 * x + 4]

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))


def test_an_error_of_one_client_is_not_its_neighbours(service: Live) -> None:
    def ask(number: int) -> float | str:
        with Client(service.url) as client:
            try:
                return client.predict({"x": [1e300 if number % 4 == 0 else number], "picture": [np.zeros((2, 2), np.uint8)]})["prediction"][
                    0
                ]
            except ValueRejected as bad:
                return bad.where

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(64)))
    assert answers == ["$.columns.x[0]" if number % 4 == 0 else 2.0 * number for number in range(64)]


def test_what_waits_is_answered_before_the_end(slow_line: Path, start: Callable[..., Live]) -> None:
    live = start(slow_line, batch=1)
    connections = [live.connect() for _ in range(5)]
    idle = live.connect()
    for x, connection in enumerate(connections):
        connection.sendall(post(float(x)))
    until = time.monotonic() + 5
    while live.metric("fermion_queue_rows") < 1 and time.monotonic() < until:
        time.sleep(0.01)
    began = time.monotonic()
    code, _, err = live.stop()
    assert (code, err) == (0, "")
    assert time.monotonic() - began < 5
    answers = [talk(connection, b"") for connection in connections]
    assert [b'"prediction":%.1f' % (2 * x + 9) in answer for x, answer in enumerate(answers)] == [True] * 5
    assert all(b"connection: close" in answer for answer in answers)
    assert talk(idle, b"") == b""


def test_a_slow_model_does_not_keep_the_rest_waiting(slow_line: Path, start: Callable[..., Live]) -> None:
    live = start(slow_line, batch=1)
    asking = live.connect()
    asking.sendall(b"".join(post() for _ in range(30)))
    time.sleep(0.05)
    waits: list[float] = []
    for _ in range(10):
        began = time.perf_counter()
        assert b"alive" in talk(live.connect(), b"GET /healthz HTTP/1.0\r\n\r\n")
        waits.append(time.perf_counter() - began)
    asking.close()
    assert sorted(waits)[5] < 0.1


def test_ctrl_c_and_a_half_sent_request_end_well(line: Path, start: Callable[..., Live]) -> None:
    live = start(line)
    half = live.connect()
    half.sendall(b"POST /v1/predict HTTP/1.1\r\n")
    began = time.monotonic()
    code, _, err = live.stop(signal.SIGINT)
    assert (code, err) == (0, "")
    assert time.monotonic() - began < 8


def test_a_taken_port_and_a_foreign_host(service: Live, line: Path) -> None:
    with pytest.raises(UsageError, match="must be free and allowed") as caught:
        serve(line, Serve(port=service.port))
    assert "serve.port=0" in caught.value.remedy
    with pytest.raises(UsageError, match="an address of this machine"):
        serve(line, Serve(host="no such host", port=0))


class TestClient:
    def test_knows_the_schema(self, service: Live) -> None:
        with Client(service.url) as client:
            assert [(one.name, one.type, one.missing) for one in client.schema.inputs] == [
                ("x", "number", False),
                ("picture", "image", False),
            ]
            assert client.schema.outputs[0].type == "value"
            assert client.ready()

    def test_takes_rows_arrays_and_frames(self, service: Live) -> None:
        import pandas
        import polars

        pictures = np.zeros((3, 2, 2), np.uint8)
        pictures[:, 1, 1] = 9
        with Client(service.url) as client:
            for x in (
                [0, 1, 2.0],
                np.arange(3),
                np.arange(3, dtype=np.float32),
                polars.Series([0, 1, 2]),
                pandas.Series([0.0, 1.0, 2.0]),
            ):
                assert client.predict({"x": x, "picture": pictures})["prediction"] == [9.0, 11.0, 13.0]
            rows = [{"x": x, "picture": picture[..., None]} for x, picture in enumerate(pictures)]
            answer = client.predict(rows)
            assert answer["prediction"] == [9.0, 11.0, 13.0]
            assert len(set(answer["id"])) == 3

    def test_errors_are_the_service_s_own(self, service: Live) -> None:
        picture = np.zeros((2, 2), np.uint8)
        with Client(service.url) as client:
            with pytest.raises(RequestRejected, match="must be float, got null") as caught:
                client.predict({"x": [None], "picture": [picture]})
            assert caught.value.status == 422
            with pytest.raises(ValueRejected, match="an image of 2x2x1, got 3x3x1 pixels") as misfit:
                client.predict({"x": [1], "picture": [np.zeros((3, 3), np.uint8)]})
            assert misfit.value.where == "$.columns.picture[0]"
            with pytest.raises(RequestRejected, match="must be at most 200000 bytes") as large:
                client.predict({"x": [1.0] * 100_000, "picture": np.zeros((100_000, 2, 2), np.uint8)})
            assert large.value.status == 413

    def test_refuses_what_json_would_change(self, service: Live) -> None:
        with Client(service.url) as client:
            with pytest.raises(ValueRejected, match="row 1: `x` must be a finite number or null, got inf"):
                client.predict({"x": [1.0, float("inf")], "picture": [None, None]})
            with pytest.raises(DataError, match="the column `picture` must be in the batch") as caught:
                client.predict({"x": [1.0], "pictur": [None]})
            assert caught.value.remedy == "Did you mean `pictur`?"
            with pytest.raises(DataError, match="a column must be one that the service reads, got 'y'"):
                client.predict({"x": [], "picture": [], "y": []})
            with pytest.raises(DataError, match="row 1: `picture` must be in every row"):
                client.predict([{"x": 1, "picture": None}, {"x": 1}])

    def test_no_service(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        with pytest.raises(RequestRejected, match="the service must be reachable") as caught:
            Client(f"http://127.0.0.1:{port}").predict({})
        assert caught.value.status == 0
        with pytest.raises(UsageError, match="http://HOST:PORT"):
            Client("ftp://x")

    def test_silence_ends_in_a_timeout(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent, Client(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.2) as client:
            with pytest.raises(RequestRejected, match=r"must be done within 0\.2 s") as caught:
                client.predict({})
            assert caught.value.status == 0

    def test_comes_back_after_503_and_a_closed_connection(self) -> None:
        schema = b'{"bundle":"b","name":"n","inputs":[{"name":"x","type":"number","missing":false,"schema":{}}],"outputs":[],"request":{}}'
        busy = b'{"error":{"code":"request","message":"the queue must be short, got long.","where":"","remedy":""}}'
        replies = [
            (b"200 OK", b"", schema),
            None,  # the connection is closed: a kept one may be at any time
            (b"503 Service Unavailable", b"retry-after: 0\r\n", busy),
            (b"200 OK", b"", b'{"columns":{"prediction":[1]}}'),
            *[(b"503 Service Unavailable", b"retry-after: 0\r\n", busy)] * 3,
        ]

        def answer(server: socket.socket) -> None:
            waiting = iter(replies)
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # the test is over
                    return
                while data := connection.recv(65536):
                    while b"POST" in data and not data.endswith(b"}"):
                        data += connection.recv(65536)
                    reply = next(waiting)
                    if reply is None:
                        break
                    status, more, body = reply
                    connection.sendall(b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, more, len(body), body))
                connection.close()

        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=answer, args=(server,), daemon=True).start()
            with Client(f"http://127.0.0.1:{server.getsockname()[1]}", retries=2) as client:
                assert client.predict({"x": [1]}) == {"prediction": [1]}
                with pytest.raises(RequestRejected, match="the queue must be short, got long") as caught:
                    client.predict({"x": [1]})
                assert caught.value.status == 503


def test_serving_imports_nothing_heavy() -> None:
    code = "import sys, fermion.cloud.service, fermion.cloud.server, fermion.cloud.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}).stdout.split()
    assert not {"polars", "torch", "sklearn", "PIL", "pandas", "pydantic", "asyncio.tests"} & set(loaded)
