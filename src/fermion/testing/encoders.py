"""What every encoder promises, as tests. Third parties run them over their own, registered under the group `fermion.encoders`:

class TestSpectrum(EncoderContract):
    encoder, role = Spectrum(width=16), "series"
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from fermion.columns.category import Category
from fermion.columns.column import Arrays, Slot
from fermion.columns.number import Number
from fermion.columns.schema import Named, Schema
from fermion.core import registry
from fermion.research.model import Encoded

ROWS, LONG, WORDS, CHANNELS = 24, 20, 50, 3
LENGTHS = (1, 2, 7, 45)  # steps of rows that an export is compared on; 45 is beyond all that training has


class EncoderContract:
    """Set `encoder` and the `role` of the array that it is to read, one of its `reads`; the contract makes rows of that role."""

    encoder: Any  # an Encoder that is a msgspec Struct
    role: str
    long = LONG  # steps of the longest row; more for roles with many steps, such as samples of a sound

    @property
    def named(self) -> tuple[Named, ...]:
        """The arrays of the column."""
        return named_of(self.role)

    def arrays(self, rows: int = ROWS, seed: int = 0) -> Arrays:
        """Rows of different lengths; the first is as long as can be, the second has one step, the third says nothing."""
        return arrays_of(self.role, rows, self.long, seed)

    def train(self) -> Encoded:
        """The training part."""
        return encoded(self.role, self.arrays())

    def built(self, seed: int = 0) -> Any:
        """The module in evaluation mode, with weights of this seed."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.encoder.build(self.named, self.train()).eval()

    def run(self, module: Any, arrays: Arrays) -> NDArray[Any]:
        """One vector per row."""
        import torch

        with torch.no_grad():
            return np.asarray(module({name: torch.from_numpy(array) for name, array in arrays.items()}))

    def test_the_registry_knows_it_by_its_type(self) -> None:
        tag = msgspec.to_builtins(self.encoder)["type"]
        assert registry.find("encoders", tag) is type(self.encoder)
        assert {named.slot.role for named in self.named} & self.encoder.reads or self.role in self.encoder.reads

    def test_settings_survive_json_and_unknown_ones_are_refused(self) -> None:
        text = msgspec.json.encode(self.encoder)
        assert msgspec.json.decode(text, type=type(self.encoder)) == self.encoder
        with pytest.raises(msgspec.ValidationError, match="no_such_setting"):
            msgspec.convert(msgspec.to_builtins(self.encoder) | {"no_such_setting": 1}, type(self.encoder))

    def test_a_finite_vector_per_row_whatever_is_missing(self) -> None:
        module = self.built()
        made_ND = self.run(module, self.arrays())
        assert made_ND.shape == (ROWS, module.features)
        assert made_ND.dtype == np.float32
        assert np.isfinite(made_ND).all()
        assert made_ND[3:].std(axis=0).max() > 0

    def test_rows_do_not_see_each_other_nor_their_padding(self) -> None:
        module, arrays = self.built(), self.arrays()
        together = self.run(module, arrays)
        for row in (0, 1, 2, 5):
            alone = {name: array[row : row + 1] for name, array in arrays.items()}
            np.testing.assert_allclose(self.run(module, trimmed(alone, self.named)), together[row : row + 1], atol=2e-5)
        np.testing.assert_allclose(self.run(module, padded(arrays, self.named, 9)), together, atol=2e-5)

    def test_same_seed_same_weights(self) -> None:
        arrays = self.arrays()
        np.testing.assert_array_equal(self.run(self.built(3), arrays), self.run(self.built(3), arrays))

    def test_building_changes_nothing_in_the_training_part(self) -> None:
        train = self.train()
        before = {name: array.copy() for name, array in train.arrays.items()}
        self.encoder.build(self.named, train)
        for name, array in train.arrays.items():
            np.testing.assert_array_equal(array, before[name])

    def test_training_moves_what_can_learn_and_nothing_becomes_nan(self) -> None:
        import torch

        module = self.built()
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        arrays = {name: torch.from_numpy(array) for name, array in self.arrays().items()}
        made_ND = module.train()(arrays)
        made_ND.square().sum().backward()
        for weight in weights:
            assert weight.grad is None or weight.grad.isfinite().all()
        assert not weights or any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights)

    def test_steps_are_masked_and_pool_to_the_vector(self) -> None:
        import torch

        from fermion.research.blocks.encoding import Stepwise

        module = self.built()
        if not isinstance(module, Stepwise):
            pytest.skip("this encoding has no steps")
        arrays = {name: torch.from_numpy(array) for name, array in self.arrays().items()}
        with torch.no_grad():
            x_BLE, mask_BL = module.steps(arrays)
            assert x_BLE.shape[2] == module.width
            assert mask_BL.dtype == torch.bool
            assert mask_BL.any(1).all()
            assert (x_BLE[~mask_BL] == 0).all()
            torch.testing.assert_close(module.pool(x_BLE, mask_BL), module(arrays))
        if module.stride == 1:
            own = next((named.name for named in self.named if named.slot.role == "mask"), None)
            assert own is None or torch.equal(mask_BL, arrays[own])

    def test_the_export_answers_any_number_of_rows_and_steps(self) -> None:
        import onnxruntime as ort
        import torch

        from fermion.research import graphs

        module, arrays = self.built(), self.arrays()
        names = tuple(arrays)

        class Positional(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.module = module

            def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor]:
                return (self.module(dict(zip(names, given, strict=True))),)

        graph = graphs.to_onnx(Positional().eval(), arrays, ["vector"], graphs.varying(self.named))
        session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
        some = [self.arrays(), {name: array[:1] for name, array in arrays.items()}]
        if graphs.varying(self.named):
            some += [arrays_of(self.role, 5, length, seed=length) for length in LENGTHS]
        for given in some:
            (made,) = session.run(["vector"], given)
            np.testing.assert_allclose(np.asarray(made), self.run(module, given), atol=1e-4)


def named_of(role: str) -> tuple[Named, ...]:
    """The arrays of a column `x` with this role, by hand."""
    mask = Slot(name="mask", dtype="bool", shape=(None,), padding=0, role="mask")
    slots = {
        "tokens": (Slot(name="ids", dtype="int64", shape=(None,), padding=0, role="tokens", size=WORDS), mask),
        "series": (Slot(name="values", dtype="float32", shape=(None, CHANNELS), padding=0, role="series"), mask),
        "times": (
            Slot(name="values", dtype="float32", shape=(None, CHANNELS), padding=0, role="series"),
            mask,
            Slot(name="times", dtype="float32", shape=(None,), padding=0, role="times"),
        ),
        "wave": (Slot(name="wave", dtype="float32", shape=(None,), padding=0, role="wave"), mask),
        "image": (Slot(name="pixels", dtype="uint8", shape=(8, 8, 3), role="image"),),
        "vector": (Slot(name="values", dtype="float32", shape=(CHANNELS,), role="vector"),),
    }.get(role, ())
    return tuple(Named(name=f"x.{slot.name}", field="x", slot=slot) for slot in slots)


def arrays_of(role: str, rows: int, long: int, seed: int = 0) -> Arrays:
    """Rows of that role with up to `long` steps: the first is the longest, the second has one step, the third is missing."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, long + 1, rows)
    lengths[:3] = [long, 1, 1][: min(rows, 3)]
    mask_NL = np.arange(long) < lengths[:, None]
    match role:
        case "tokens":
            ids_NL = rng.integers(1, WORDS, (rows, long)) * mask_NL
            ids_NL[2:3] = 0
            return {"x.ids": ids_NL, "x.mask": mask_NL}
        case "series" | "times":
            values_NLC = rng.normal(5, 2, (rows, long, CHANNELS)).astype(np.float32)
            values_NLC[rng.random(values_NLC.shape) < 0.1] = np.nan
            values_NLC[2:3] = np.nan
            values_NLC[~mask_NL] = 0
            times_NL = np.cumsum(rng.exponential(3, (rows, long)), axis=1).astype(np.float32) * mask_NL
            return {"x.values": values_NLC, "x.mask": mask_NL, **({"x.times": times_NL} if role == "times" else {})}
        case "wave":
            wave_NW = (rng.normal(0, 0.1, (rows, long)) * mask_NL).astype(np.float32)
            wave_NW[2:3] = 0
            return {"x.wave": wave_NW, "x.mask": mask_NL}
        case "image":
            pixels_NHWC = rng.integers(0, 256, (rows, 8, 8, 3), dtype=np.uint8)
            pixels_NHWC[2:3] = 0
            return {"x.pixels": pixels_NHWC}
        case "vector":
            x_NV = rng.normal(3, 2, (rows, CHANNELS)).astype(np.float32)
            x_NV[2:3] = np.nan
            return {"x.values": x_NV}
        case _:
            numbers_NF = rng.normal(size=(rows, 2)).astype(np.float32)
            numbers_NF[2:3] = np.nan
            return {"numbers": numbers_NF, "codes": rng.integers(0, 4, (rows, 1))}


def encoded(role: str, arrays: Arrays) -> Encoded:
    """The arrays as a training part."""
    rows = len(next(iter(arrays.values())))
    schema = Schema.of({})
    if role in ("number", "code"):
        schema = Schema.of({"a": Number(), "b": Number(), "c": Category()}).fit({"a": [1.0, 2.0], "b": [1.0, 2.0], "c": ["x", "y"]})
    return Encoded(schema=schema, outputs=(), arrays=arrays, targets={"y": np.zeros(rows)})


def trimmed(arrays: Arrays, named: tuple[Named, ...]) -> Arrays:
    """The same rows without the steps that are padding in all of them."""
    mask = next((one.name for one in named if one.slot.role == "mask"), None)
    if mask is None:
        return arrays
    longest = int(arrays[mask].sum(axis=1).max())
    return {name: np.ascontiguousarray(array[:, :longest]) for name, array in arrays.items()}


def padded(arrays: Arrays, named: tuple[Named, ...], more: int) -> Arrays:
    """The same rows with `more` steps of padding, where their length varies."""
    made = dict(arrays)
    for one in named:
        if one.slot.shape[:1] == (None,):
            room = [(0, more if axis == 1 else 0) for axis in range(arrays[one.name].ndim)]
            made[one.name] = np.pad(arrays[one.name], room, constant_values=one.slot.padding or 0)
    return made
