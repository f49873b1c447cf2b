"""A table of every kind of column, answered by `fermion serve` in a process that can import no library of training.

The bundle's tokeniser is an asset: a file of the bundle, and nothing of it lies anywhere else.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fermion

pytest.importorskip("tokenizers", reason="the extra `text` is not installed")

BLOCKED = (
    *("torch", "transformers", "polars", "sklearn", "scipy", "pandas", "lightgbm", "xgboost", "catboost", "tensorflow", "keras"),
    *("onnx", "onnxscript", "PIL", "soundfile", "matplotlib", "pyarrow"),
)
PROGRAM = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
from fermion.app.cli import main
code = main(sys.argv[1:])
assert not set({BLOCKED!r}) & set(sys.modules)
sys.exit(code)
"""
WORDS = {True: ["good", "lovely", "fine"], False: ["bad", "awful", "cold"]}


def rows(count: int) -> dict[str, list[Any]]:
    """A number, a category, a text, a series, a sound, a picture, a set, a vector and a place, of which two targets are told."""
    rng = np.random.default_rng(0)
    made: dict[str, list[Any]] = {}
    for _ in range(count):
        good, city = bool(rng.random() < 0.5), str(rng.choice(["rome", "oslo"]))
        words = ["the", str(rng.choice(WORDS[good])), "food", "in", city]
        row: dict[str, Any] = {
            "price": float(rng.normal(20 + 5 * good, 3)),
            "day": str(rng.choice(["mon", "tue"])),
            "note": " ".join(words) + "!",
            "tags": ["O", "O", "O", "O", "B-city", "O"],
            "pulse": rng.normal(size=(int(rng.integers(3, 8)), 2)).tolist(),
            "voice": (0.3 * np.sin(np.arange(int(rng.integers(400, 700))) * (0.2 + 0.2 * good))).astype(np.float32),
            "photo": rng.integers(0, 255, (8, 8, 1), dtype=np.uint8),
            "extras": rng.choice(["bread", "wine", "tip"], 2, replace=False).tolist(),
            "look": rng.normal(size=3).round(3).tolist(),
            "home": {"lat": float(rng.uniform(-80, 80)), "lon": float(rng.uniform(-170, 170))},
            "good": good,
        }
        for name, value in row.items():
            made.setdefault(name, []).append(value)
    return made


ROWS = rows(90)
COLUMNS: dict[str, Any] = {
    "note": {"type": "text", "algorithm": "words"},
    "tags": {"type": "tags", "steps": "note"},
    "pulse": "sequence",
    "voice": {"type": "audio", "rate": 4000, "mels": 8},
    "photo": "image",
    "extras": "set",
    "look": "vector",
    "home": "geo",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = {"note": {"type": "transformer", "width": 16, "layers": 1}, "pulse": {"type": "bag"}, "voice": {"type": "bag"}}
    encoders = {**small, "photo": {"type": "cnn", "widths": [4, 8]}}
    model = {"type": "net", "width": 16, "blocks": 1, "steps": 25, "batch": 32, "encoders": encoders}
    data = {"columns": COLUMNS}
    made = fermion.fit(ROWS, target=("good", "tags"), data=data, model=model, evaluate={"draws": 20})
    folder = tmp_path_factory.mktemp("light")
    saved = made.save(folder / "first").path
    shutil.copytree(saved, folder / "bundle")
    shutil.rmtree(saved)
    return folder / "bundle"


@pytest.fixture(scope="module")
def url(bundle: Path) -> Iterator[str]:
    line = [sys.executable, "-c", PROGRAM, "serve", str(bundle), "serve.port=0"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=bundle.parent)
    assert process.stdout is not None
    said = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert found, (said, process.communicate(timeout=20)[1])
    yield found[0]
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err


def plain(row: int) -> dict[str, Any]:
    one = {name: values[row] for name, values in ROWS.items() if name not in ("good", "tags")}
    one = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in one.items()}
    samples = base64.b64encode(np.asarray(one["voice"], "<f4").tobytes()).decode()
    return one | {"voice": {"rate": 4000, "samples": samples}}


def ask(url: str, body: Any) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"{url}/v1/predict", json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def test_every_column_is_answered_without_the_libraries_of_training(bundle: Path, url: str) -> None:
    assert {file.suffix for file in (bundle / "assets").iterdir()} == {".json"}
    code, answer = ask(url, {"rows": [plain(row) for row in range(8)]})
    assert code == 200, answer
    said = [row["prediction"] for row in answer["rows"]]
    inputs = {name: values[:8] for name, values in ROWS.items() if name not in ("good", "tags")}
    assert said == fermion.load(bundle).predict(inputs)["prediction"]
    for row, prediction in enumerate(said):
        assert isinstance(prediction["good"], bool)
        assert len(prediction["tags"]) == len(ROWS["tags"][row])
    alone = [ask(url, {"rows": [plain(row)]})[1]["rows"][0]["prediction"] for row in range(8)]
    assert alone == said


def test_a_text_that_is_none_and_words_that_nobody_wrote_before(url: str) -> None:
    code, refused = ask(url, {"rows": [plain(0) | {"note": 7}]})
    assert code == 422
    assert "note" in json.dumps(refused)
    code, answer = ask(url, {"rows": [plain(0) | {"note": "quite unheard of, Zürich 日本"}]})
    assert code == 200, answer
    assert len(answer["rows"][0]["prediction"]["tags"]) == 6


def test_what_an_install_lacks_is_said_with_its_remedy_and_exit_code_2(bundle: Path) -> None:
    less = PROGRAM.replace(repr(BLOCKED), repr((*BLOCKED, "tokenizers")))
    for words in (["serve", str(bundle), "serve.port=0"], ["predict", str(bundle), "rows.jsonl"]):
        line = [sys.executable, "-c", less, *words]
        told = subprocess.run(line, capture_output=True, text=True, cwd=bundle.parent, timeout=60, check=False)
        assert (told.returncode, told.stdout) == (2, ""), told.stderr
        assert "Run: pip install 'fermion[" in told.stderr
        assert "golden rows" not in told.stderr


@pytest.mark.parametrize("name", ["FermionClassifier", "FermionRegressor"])
def test_an_estimator_without_scikit_learn(name: str) -> None:
    program = (
        PROGRAM.partition("from fermion.app")[0]
        + f"""
import fermion
from fermion.core.errors import MissingExtra
try:
    fermion.{name}
except MissingExtra as missing:
    print(missing)
"""
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.startswith("the package `sklearn` must be installed for this step")
    assert "pip install 'fermion[train]'" in told.stdout
