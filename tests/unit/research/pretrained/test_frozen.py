"""Models on backbones: frozen in front of any model, and frozen or learning inside a net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fermion.bundle.runtime import Runtime
from fermion.columns.column import Batch
from fermion.columns.number import Number
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.columns.text import Text
from fermion.columns.tokenizer import train_tokenizer
from fermion.core.errors import DataError, SpecError
from fermion.core.run import Run
from fermion.research.encoders.pretrained import Pretrained
from fermion.research.frozen import Frozen
from fermion.research.knn import Knn
from fermion.research.linear import Linear
from fermion.research.model import Encoded, Fitted
from fermion.research.net import Network

ROWS, VALID = 160, 40


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT with random weights, and a tokeniser beside it."""
    transformers = pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")
    import torch

    folder = tmp_path_factory.mktemp("bert")
    made = train_tokenizer(_texts(np.random.default_rng(1))[0], kind="bpe", vocabulary=300, lower=True, unicode=True)
    (folder / "tokenizer.json").write_bytes(made.asset.read())
    torch.manual_seed(0)
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 160}
    transformers.BertModel(transformers.BertConfig(vocab_size=made.size, **small)).save_pretrained(folder)
    return folder


def _texts(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Complaints and thanks, of 2 to 9 words."""
    words = {"bad": ("broken", "late", "wrong", "refund"), "good": ("thanks", "great", "works", "love")}
    kinds = [str(kind) for kind in rng.choice(["bad", "good"], ROWS + VALID)]
    said = [" ".join([*rng.choice(["the", "order", "card"], rng.integers(1, 8)), *rng.choice(words[kind], 1)]) for kind in kinds]
    return said, kinds


def table(bert: Path, tokenizer: str = "", length: int = 0) -> tuple[Encoded, Encoded, Batch]:
    rng = np.random.default_rng(1)
    said, kinds = _texts(rng)
    batch: Batch = {"text": said, "age": rng.normal(size=len(said)).tolist()}
    column = Text(tokenizer=tokenizer or str(bert / "tokenizer.json"), length=length)
    schema = Schema.of({"text": column, "age": Number()})
    schema = schema.fit(batch, missing={"text": True, "age": True})
    output = Probability(target="kind").fit(kinds)
    whole = Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"kind": output.encode(kinds)})
    return whole.take(np.arange(ROWS)), whole.take(np.arange(ROWS, ROWS + VALID)), {name: values[ROWS:] for name, values in batch.items()}


def right(fitted: Fitted, valid: Encoded) -> float:
    made = fitted.run(valid.arrays)[valid.outputs[0].array]
    return float(np.mean(made.argmax(axis=1) == valid.targets["kind"]))


def same_as_served(fitted: Fitted, batch: Batch) -> None:
    """The chain of graphs answers what the model answers, for all rows, one, and rows without a text."""
    export = fitted.export()
    runtime = Runtime(schema=fitted.schema, steps=export.steps, graphs=export.graphs, outputs=fitted.outputs)
    for some in (batch, {name: values[:1] for name, values in batch.items()}, {"text": [None, "", "great"], "age": [None, 1.0, 2.0]}):
        arrays = fitted.schema.encode(some)
        for name, made in runtime.run(arrays).items():
            np.testing.assert_allclose(made, fitted.run(arrays)[name], atol=1e-4)


@pytest.mark.parametrize("model", [Linear(), Knn(k=5)], ids=["linear", "knn"])
def test_any_model_learns_from_the_vectors(bert: Path, model: Any) -> None:
    train, valid, batch = table(bert)
    fitted = Frozen(encoders={"text": Pretrained(name=str(bert))}, model=model).fit(train, valid, Run())
    assert right(fitted, valid) > 0.8
    same_as_served(fitted, batch)


@pytest.mark.parametrize("tune", ["frozen", "full"])
def test_a_net_reads_a_backbone(bert: Path, tune: Any) -> None:
    train, valid, batch = table(bert)
    model = Network(encoders={"text": {"type": "pretrained", "name": str(bert), "tune": tune}}, steps=80, batch=32, lr=0.01)
    fitted = model.fit(train, valid, Run())
    assert right(fitted, valid) > 0.8
    same_as_served(fitted, batch)


def test_vectors_are_kept_and_a_broken_file_is_made_again(bert: Path, tmp_path: Path) -> None:
    train, valid, _ = table(bert)
    model = Frozen(encoders={"text": Pretrained(name=str(bert))})
    run = Run(cache=tmp_path)
    first = model.fit(train, valid, run).run(valid.arrays)
    files = sorted((tmp_path / "features").iterdir())
    assert len(files) == 2
    times = [file.stat().st_mtime_ns for file in files]
    files[0].write_bytes(b"broken")
    again = model.fit(train, valid, run).run(valid.arrays)
    np.testing.assert_array_equal(first["probabilities:kind"], again["probabilities:kind"])
    assert [file.stat().st_mtime_ns == time for file, time in zip(files, times, strict=True)] == [False, True]


def test_a_folder_beside_the_project_file(bert: Path) -> None:
    train, valid, _ = table(bert)
    fitted = Frozen(encoders={"text": Pretrained(name=bert.name)}).fit(train, valid, Run(home=bert.parent))
    assert right(fitted, valid) > 0.8


def test_another_tokeniser_is_refused_with_the_line_to_write(bert: Path, tmp_path: Path) -> None:
    other = train_tokenizer(["completely other words here"] * 9, kind="bpe", vocabulary=280, lower=True, unicode=True)
    (tmp_path / "tokenizer.json").write_bytes(other.asset.read())
    train, valid, _ = table(bert, str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match=r"the tokeniser of `text` must be the one that its backbone was trained with.+tokenizer: '"):
        Frozen(encoders={"text": Pretrained(name=str(bert))}).fit(train, valid, Run())


def test_what_cannot_be_is_refused(bert: Path) -> None:
    train, valid, _ = table(bert)
    with pytest.raises(SpecError, match=r"`pretrained` with `tune: frozen`.+net"):
        Frozen(encoders={"text": Pretrained(name=str(bert), tune="full")})
    with pytest.raises(SpecError, match=r"by the columns text, got 'txet'. Did you mean `text`"):
        Frozen(encoders={"txet": Pretrained(name=str(bert))}).fit(train, valid, Run())
    config = json.loads((bert / "config.json").read_text())
    assert config["model_type"] == "bert"


def test_damaged_weights_are_told_before_anything_is_fitted(bert: Path, tmp_path: Path) -> None:
    """A block of the file that is no longer numbers loads like any other: what the backbone says of a row shows it."""
    for path in bert.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-4000:-2000] = b"\xff" * 2000
    (tmp_path / "model.safetensors").write_bytes(data)
    train, valid, _ = table(bert)
    for model in (Frozen(encoders={"text": Pretrained(name=str(tmp_path))}), Network(encoders={"text": Pretrained(name=str(tmp_path))})):
        with pytest.raises(DataError, match=r"one whose vectors are numbers, got NaN or infinity.+Fetch or save it again"):
            model.fit(train, valid, Run())


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("tune", ["frozen", "full"])
def test_a_backbone_of_few_positions_is_exported_within_them(tmp_path: Path, family: str, tune: Any) -> None:
    """RoBERTa's positions count from behind that of padding: of 26 it has 24."""
    transformers = pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")
    made = train_tokenizer(_texts(np.random.default_rng(1))[0], kind="bpe", vocabulary=300, lower=True, unicode=True)
    (tmp_path / "tokenizer.json").write_bytes(made.asset.read())
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": made.size}
    if family == "bert":
        net = transformers.BertModel(transformers.BertConfig(**small, max_position_embeddings=24))
    else:
        net = transformers.RobertaModel(transformers.RobertaConfig(**small, max_position_embeddings=26, pad_token_id=1))
    net.save_pretrained(tmp_path)
    train, valid, _ = table(tmp_path, length=24)
    fitted = Network(encoders={"text": {"type": "pretrained", "name": str(tmp_path), "tune": tune}}, steps=5, batch=32).fit(
        train, valid, Run()
    )
    same_as_served(fitted, {"text": ["late " * 40, "thanks"], "age": [None, 1.0]})
    longer, _, _ = table(tmp_path, length=25)
    with pytest.raises(DataError, match="the length of `text` must be at most 24 tokens, got 25"):
        Frozen(encoders={"text": Pretrained(name=str(tmp_path))}).fit(longer, valid, Run())
