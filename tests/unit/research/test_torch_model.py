from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fermion
from fermion.columns.column import Batch, Column
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.core.errors import FermionError, SpecError
from fermion.core.run import Run
from fermion.research.model import Fitted
from fermion.research.torch_model import Torch
from fermion.testing.models import ModelContract

TABLE = ModelContract()
HEAD = "import torch\nfrom torch import nn\nfrom torch.nn.utils.rnn import pack_padded_sequence\n\n\nclass Net(nn.Module):\n"
INIT = "    def __init__(self, features, size, width=8):\n        super().__init__()\n        self.layer = nn.Linear(features, size)\n\n"


class Pictured(ModelContract):
    def columns(self) -> dict[str, Column]:
        return {"picture": Image(height=8, width=8, channels=1), "noise": Number()}

    def batch(self, signal_N: NDArray[np.float64], rng: np.random.Generator) -> Batch:
        grey_N = np.clip(128 + 40 * signal_N, 0, 255)[:, None, None] + np.zeros((len(signal_N), 8, 8))
        return {"picture": list(grey_N.astype(np.uint8)), "noise": signal_N.tolist()}


def fit(tmp_path: Path, text: str, contract: ModelContract = TABLE, **settings: object) -> Fitted:
    (tmp_path / "my_net.py").write_text(HEAD + text)
    train, valid, _ = contract.table()
    return Torch(module="my_net:Net", steps=2, settings=settings).fit(train, valid, Run(home=tmp_path))


@pytest.mark.parametrize(
    ("text", "settings", "told"),
    [
        (
            INIT + "    def forward(self, x):\n        if x.sum() > 0:\n            x = x * 2\n        return self.layer(x)\n",
            {},
            r"my_net.py:12: the net `my_net:Net` must be one that torch can export for any number of rows.*Use torch.where, or torch.cond",
        ),
        (
            "    def __init__(self, features, size):\n        super().__init__()\n        self.rnn = nn.GRU(1, size, batch_first=True)\n\n"
            "    def forward(self, x):\n        lengths = torch.full((x.shape[0],), x.shape[1])\n"
            "        packed = pack_padded_sequence(x.unsqueeze(2), lengths, batch_first=True)\n        return self.rnn(packed)[1][0]\n",
            {},
            r"any number of rows.*in place of packed sequences",
        ),
        (
            INIT + "    def forward(self, x):\n        return self.layer(x).view(2, -1)\n",
            {},
            r"any number of rows.*Do not build the number of rows into the net",
        ),
        (
            "    def __init__(self, features):\n        super().__init__()\n        self.layer = nn.Linear(features, 5)\n\n"
            "    def forward(self, x):\n        return self.layer(x)\n",
            {},
            r"what `my_net:Net` answers must be a tensor \(B, 2\), or .* got \(B, 5\). Give its constructor a parameter `size`",
        ),
        (
            INIT + "    def forward(self, arrays):\n        return {'kind': self.layer(arrays['numbers'])}\n",
            {},
            r"my_net.py:12: `my_net:Net` must be called without an error, got RuntimeError: mat1 and mat2|got \['kind'\]",
        ),
        (
            INIT + "    def forward(self, x, y):\n        return self.layer(x)\n",
            {},
            r"the parameters of forward in `my_net:Net` must be `arrays`, names of arrays \(numbers, codes\), or one .*, got x, y",
        ),
        (INIT + "    def forward(self, x):\n        return self.layer(x)\n", {"widht": 3}, r"unexpected keyword argument 'widht'"),
    ],
    ids=["if", "packed", "rows", "width", "names", "parameters", "settings"],
)
def test_what_cannot_be_is_told_before_it_is_trained(tmp_path: Path, text: str, settings: dict[str, object], told: str) -> None:
    with pytest.raises(FermionError, match=told):
        fit(tmp_path, text, **settings)


def test_what_is_no_module_is_told(tmp_path: Path) -> None:
    (tmp_path / "my_other.py").write_text("from torch import nn\n\nlayer = nn.Linear(6, 2)\n\n\ndef make(size):\n    return [size]\n")
    train, valid, _ = TABLE.table()
    with pytest.raises(SpecError, match="`my_other:make` must be a torch module, got list"):
        Torch(module="my_other:make").fit(train, valid, Run(home=tmp_path))
    with pytest.raises(SpecError, match="left out for a module that is made already, got width"):
        Torch(module="my_other:layer", settings={"width": 3}).fit(train, valid, Run(home=tmp_path))
    fitted = Torch(module="my_other:layer", steps=3).fit(train, valid, Run(home=tmp_path))
    assert fitted.run(valid.arrays)["probabilities:kind"].shape == (len(valid), 2)


def test_arrays_come_prepared(tmp_path: Path) -> None:
    """Numbers without gaps, pictures as shares of 255, and what is not read is said."""
    text = (
        "    def __init__(self, size):\n        super().__init__()\n        self.layer = nn.Linear(64, size)\n\n"
        "    def forward(self, picture_pixels):\n        assert picture_pixels.dtype == torch.float32\n"
        "        return self.layer(picture_pixels.flatten(1))\n"
    )
    fitted = fit(tmp_path, text, Pictured())
    assert fitted.notes[-1] == "the net does not read numbers"
    assert fitted.export().steps[0].inputs == {"picture.pixels": "picture.pixels"}


@pytest.mark.parametrize(("end", "odd"), [(".softmax(1)", True), ("", False), (".sigmoid()", False)])
def test_probabilities_where_logits_are_meant_are_noticed(tmp_path: Path, end: str, odd: bool) -> None:
    fitted = fit(tmp_path, INIT + f"    def forward(self, x):\n        return self.layer(x){end}\n")
    told = "`my_net:Net` answers probabilities for `kind` (from 0 to 1, together 1), which are taken for logits: leave the softmax"
    assert any(note.startswith(told) for note in fitted.notes) is odd


def test_through_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_net.py").write_text(HEAD + INIT + "    def forward(self, x):\n        return self.layer(x)\n")
    monkeypatch.chdir(tmp_path)
    made = fermion.fit("sample://iris", target="species", model={"type": "torch", "module": "my_net:Net", "steps": 200, "lr": 0.05})
    assert made.evaluate().metrics["accuracy"].value > 0.85
    row = {"sepal_length_cm": [5.1], "sepal_width_cm": [3.5], "petal_length_cm": [1.4], "petal_width_cm": [0.2]}
    made.save(tmp_path / "iris")
    assert fermion.load(tmp_path / "iris").predict(row)["prediction"] == ["setosa"]


def test_a_net_of_ones_own_learns_how_much_each_of_several_losses_counts(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(HEAD + INIT + "    def forward(self, x):\n        return self.layer(x)\n")
    train, valid, _ = TABLE.table(targets=("kind", "price"), rows=100)
    made = [
        Torch(module="my_net:Net", steps=20, weigh=weigh).fit(train, valid, Run(home=tmp_path)).run(valid.arrays)
        for weigh in ("equal", "learned")
    ]
    assert made[0].keys() == made[1].keys()
    assert len(made[0]) == 2
    assert all(np.isfinite(answer).all() for answer in made[1].values())
    assert any(np.abs(answer - made[0][name]).max() > 1e-6 for name, answer in made[1].items())
