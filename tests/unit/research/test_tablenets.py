import numpy as np
import pytest
import torch

from fermion.columns.category import Category
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.errors import DataError, SpecError
from fermion.core.run import Run
from fermion.research.fttransformer import FtTransformer
from fermion.research.model import Encoded
from fermion.research.realmlp import RealMlp
from fermion.research.realmlpnet import Pooled
from fermion.research.tableinputs import Normal, Robust, TableInputs, Whole
from fermion.research.tabm import TabM
from fermion.research.tabmnet import Piecewise, TabMNet

LEVELS = {"pair": ["a", "b"], "few": list("cdef"), "many": [f"l{number}" for number in range(12)]}


def table(count: int = 240, *, gaps: bool = True) -> Encoded:
    rng = np.random.default_rng(0)
    x_N, y_N = rng.normal(size=count), rng.normal(size=count)
    batch = {
        "x": [None if gaps and row % 7 == 0 else float(value) for row, value in enumerate(x_N)],
        "still": [4.0] * count,
        **{name: [levels[row % len(levels)] for row in range(count)] for name, levels in LEVELS.items()},
    }
    columns = {"x": Number(), "still": Number(), **{name: Category() for name in LEVELS}}
    schema = Schema.of(columns).fit(batch, missing=dict.fromkeys(columns, True))
    outputs: tuple[Output, ...] = (Probability(target="kind").fit([True, False]), Value(target="size").fit(y_N.tolist()))
    targets = {"kind": outputs[0].encode((x_N > 0).tolist()), "size": outputs[1].encode(y_N.tolist())}
    return Encoded(schema=schema, outputs=outputs, arrays=schema.encode(batch), targets=targets)


def made(inputs: TableInputs, rows: Encoded, some: slice = slice(None)) -> dict[str, torch.Tensor]:
    return inputs({name: torch.from_numpy(array[some]) for name, array in rows.arrays.items()})


def test_a_table_becomes_numbers_features_and_places() -> None:
    rows = table()
    inputs = TableInputs(rows.arrays, rows.schema.layout, "normal")
    arrays = made(inputs, rows)
    assert arrays["numbers"].shape == (240, 1)  # what never varies is not read
    assert arrays["rest"].shape == (240, 1 + 1 + 4) == (240, inputs.rest)  # a flag, a sign and four levels
    assert arrays["rest"][:, 0].tolist() == [float(row % 7 == 0) for row in range(240)]
    assert set(arrays["rest"][:, 1].tolist()) == {-1.0, 1.0}
    assert arrays["rest"][:, 2:].sum(1).tolist() == [1.0] * 240
    assert inputs.counts == (12,)
    assert int(arrays["levels"].max()) == 11


def test_levels_that_training_never_had_are_nothing() -> None:
    rows = table()
    inputs = TableInputs(rows.arrays, rows.schema.layout, "robust")
    unseen = rows.schema.encode({"x": [0.5, None], "still": [9.0, None], **{name: ["?", None] for name in LEVELS}})
    arrays = inputs({name: torch.from_numpy(array) for name, array in unseen.items()})
    assert arrays["rest"][:, 1:].abs().sum() == 0
    assert arrays["levels"].tolist() == [[12], [12]]


def test_numbers_become_a_bell_whatever_their_shape() -> None:
    x_N1 = np.exp(2 * np.random.default_rng(0).normal(size=(5000, 1)))
    z_N = Normal(x_N1)(torch.from_numpy(x_N1.astype(np.float32)))[:, 0].double().numpy()
    assert abs(z_N.mean()) < 0.02
    assert z_N.std() == pytest.approx(1, abs=0.03)
    order_N = np.argsort(x_N1[:, 0])
    assert np.all(np.diff(z_N[order_N]) >= -1e-6)
    far = Normal(x_N1)(torch.tensor([[-1e30], [1e30]]))
    assert far[:, 0].tolist() == [float(z_N.min()), pytest.approx(float(z_N.max()))]


def test_a_value_at_many_quantiles_stands_in_their_middle() -> None:
    x_N1 = np.concatenate([np.zeros(600), np.linspace(1, 2, 400)])[:, None]
    zero, two = Normal(x_N1)(torch.tensor([[0.0], [2.0]]))[:, 0].tolist()
    assert zero == pytest.approx(-0.524, abs=0.02)  # the middle of the lower six tenths is the quantile .3
    assert two > 2


def test_robust_scaling_uses_the_range_where_the_middle_is_one_value() -> None:
    x_N1 = np.concatenate([np.zeros(90), np.full(10, 4.0)])[:, None]
    assert Robust(x_N1)(torch.tensor([[4.0], [1e30]]))[:, 0].tolist() == pytest.approx([2 / (1 + 4 / 9) ** 0.5, 3.0], abs=1e-5)


def test_piecewise_lines_begin_straight() -> None:
    x_N1 = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    part = Piecewise(x_N1)
    want = x_N1 * part.line + part.shift
    torch.testing.assert_close(part(x_N1), want)
    with torch.no_grad():
        part.bends[0, :, 0] = 1.0
    bent = (part(x_N1) - want).detach()
    assert bent[:, 0].max() == pytest.approx(32, abs=1e-3)  # the largest value is beyond all bins
    assert bent[:, 1:].abs().max() == 0


def test_members_are_averaged_as_probabilities() -> None:
    rows = table()
    inputs = TableInputs(rows.arrays, rows.schema.layout, "normal")
    arrays = made(inputs, rows)
    net = TabMNet(inputs, arrays, rows.outputs, members=5, width=8, layers=2, dropout=0.0)
    kind, size = (output.array for output in rows.outputs)
    under_each_other, together = net.train()(arrays), net.eval()(arrays)
    assert under_each_other[kind].shape == (240 * 5, 2)
    want = under_each_other[kind].view(240, 5, 2).softmax(2).mean(1)
    torch.testing.assert_close(together[kind].softmax(1), want)
    torch.testing.assert_close(together[size], under_each_other[size].view(240, 5).mean(1))


def test_values_stay_within_what_training_had() -> None:
    rows = table(gaps=False)
    for model in (RealMlp(width=8, epochs=2), TabM(width=8, members=2, epochs=2), FtTransformer(width=8, heads=2, layers=1, epochs=2)):
        array = rows.outputs[1].array
        fitted = model.fit(rows, rows.take(np.arange(40)), Run())
        assert isinstance(fitted.learned.answer.net, Whole)  # type: ignore[attr-defined]
        low, high = fitted.learned.answer.net.limits[array]  # type: ignore[attr-defined]
        truth = rows.targets["size"]
        assert (low, high) == (truth.min(), truth.max())
        assert low <= fitted.run(rows.arrays)[array].min()


def test_masks_from_a_pool_keep_the_mean() -> None:
    torch.manual_seed(0)
    part = Pooled(0.25).train()
    hidden = part(torch.ones(200, 50))
    assert hidden.mean() == pytest.approx(1, abs=0.02)
    assert hidden.unique().tolist() == pytest.approx([0, 4 / 3])
    assert part.eval()(torch.ones(3, 2)).tolist() == [[1.0, 1.0]] * 3


def test_a_table_of_constants_is_refused() -> None:
    batch = {"still": [1.0] * 40}
    schema = Schema.of({"still": Number()}).fit(batch)
    kind = Probability(target="kind").fit([True, False])
    rows = Encoded(schema=schema, outputs=(kind,), arrays=schema.encode(batch), targets={"kind": np.arange(40) % 2})
    with pytest.raises(DataError, match="of more than one value in the training part, one at least, got constants"):
        TabM().fit(rows, rows, Run())


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(SpecError, match="the width of an `ft` must be a multiple of its 4 heads, got 30"):
        FtTransformer(width=30)
    with pytest.raises(SpecError, match="augment must be made of oversample, smote, undersample for realmlp"):
        RealMlp(augment=("mixup",))
