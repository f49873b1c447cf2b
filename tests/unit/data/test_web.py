from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fermion.core.declared import Source
from fermion.core.errors import DataError, SpecError
from fermion.data.sources import read, stamp

CONTENT = b"a\n1\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Answers(BaseHTTPRequestHandler):
    count = 0

    def do_GET(self) -> None:
        if self.command == "GET":
            type(self).count += 1
        if self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", "http://example.org/a.csv")
            self.end_headers()
            return
        length = len(CONTENT) + (100 if self.path.startswith("/cut") else 0)
        self.send_response(404 if "none" in self.path else 200)
        self.send_header("Content-Length", str(1 << 62) if self.path.startswith("/huge") else str(length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(CONTENT)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_address[1]}"
    serving.shutdown()
    serving.server_close()


def test_a_note_tells_the_digest_to_pin(server: str, tmp_path: Path) -> None:
    notes: list[str] = []
    read(f"{server}/a.csv?key=hidden", folder=tmp_path, note=notes.append)
    assert notes == [f"{server}/a.csv?key=*** is not pinned: it may change unnoticed. Add to the source: sha256: {DIGEST}"]
    with pytest.warns(UserWarning, match="is not pinned"):
        read(f"{server}/a.csv", folder=tmp_path)


def test_a_pinned_file_is_fetched_once_and_checked(server: str, tmp_path: Path) -> None:
    source, before = Source(at=f"{server}/a.csv", sha256=DIGEST), Answers.count
    for _ in range(2):
        assert len(read(source, folder=tmp_path, scratch=tmp_path / "scratch")) == 1
    assert Answers.count == before + 1
    assert stamp(source, folder=tmp_path) == stamp(source, folder=tmp_path)
    with pytest.raises(DataError, match=rf"a file must be of the sha256 that its source names, 0{{12}}\.\.\., got {DIGEST}"):
        read(Source(at=f"{server}/a.csv", sha256="0" * 64), folder=tmp_path, scratch=tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/none.csv", "can be fetched whole, got .+: 404 "),
        ("/cut.csv", "can be fetched whole, got .+4 of 104 bytes came"),
        ("/away.csv", "an https:// address"),
    ],
)
def test_what_does_not_come_whole(server: str, tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises((DataError, SpecError), match=message):
        read(f"{server}{path}", folder=tmp_path, scratch=tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_plain_http_is_for_this_machine_only(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"an https:// address \(http:// only to this machine\)"):
        read("http://example.org/a.csv", folder=tmp_path)
