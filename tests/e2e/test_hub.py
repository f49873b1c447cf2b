"""A backbone and its tokeniser by id, from a hub of models that runs here: fetched once, and not needed again."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .conftest import Command

COMMIT = "a" * 40
PROJECT = """\
name: questions
data:
  source: questions.jsonl
  target: intent
  columns: {text: {type: text, tokenizer: somebody/small/tokenizer.json}}
model: {type: frozen, encoders: {text: {type: pretrained, name: somebody/small}}}
"""


class Hub(ThreadingHTTPServer):
    """What `huggingface_hub` asks of a hub to fetch the one model that it has, `somebody/small`, and what it was asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.sent: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        files, name = self.server.files, path.rpartition("/")[2]
        if path.startswith("/api/models/somebody/small/tree/"):
            self._send(json.dumps([{"type": "file", "oid": "0" * 40, "path": one, "size": len(files[one])} for one in files]).encode())
        elif path.startswith("/api/models/somebody/small/revision/"):
            about = {"id": "somebody/small", "sha": COMMIT, "siblings": [{"rfilename": one} for one in files]}
            self._send(json.dumps(about).encode())
        elif path == f"/somebody/small/resolve/{COMMIT}/{name}" and name in files:
            if self.command == "GET":
                self.server.sent.append(name)
            self._send(files[name])
        else:
            self._send(b'{"error": "Repository not found"}', 404)

    def _send(self, data: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("X-Repo-Commit", COMMIT)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pytest shows what failed."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    transformers = pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")
    import torch

    from fermion.columns.tokenizer import train_tokenizer

    folder = tmp_path / "small"
    made = train_tokenizer(["where is my card", "refund my money please"], kind="bpe", vocabulary=300, lower=True, unicode=True)
    torch.manual_seed(0)
    told = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}
    transformers.BertModel(transformers.BertConfig(vocab_size=made.size, **told)).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(made.asset.read())
    (folder / "pytorch_model.bin").write_bytes(b"never asked for")
    server = Hub(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_model_is_fetched_once_by_its_id(hub: Hub, fermion: Command, tmp_path: Path) -> None:
    lines = [{"text": f"{text} {n}", "intent": intent} for n in range(30) for text, intent in (("my card", "card"), ("my money", "refund"))]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "fermion.yaml").write_text(PROJECT)
    settings = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": ""}
    first = fermion("run", "--json", env=settings)
    assert first.code == 0, first.out
    assert sorted(hub.sent) == ["config.json", "model.safetensors", "tokenizer.json"]

    misspelt = fermion("run", "--json", "model.encoders.text.name=somebody/smal", env=settings)
    assert misspelt.code == 2
    assert "the backbone `somebody/smal` must be an existing folder or file, or that of a model that can be fetched" in misspelt.out

    hub.shutdown()
    hub.server_close()
    again = fermion("run", "--json", "--fresh", env=settings)
    assert again.code == 0, again.err
    assert len(hub.sent) == 3
    assert again.document["metrics"] == first.document["metrics"]
