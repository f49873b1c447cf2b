from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from fermion.columns.output import Probability, Value
from fermion.core.errors import FermionError
from fermion.research import graphs
from fermion.research.blocks import ConvNet, ConvNormAct, Facts, Pixels
from fermion.research.graphs import Net, folded
from fermion.research.model import Export

KIND = Probability(target="kind", array="probabilities:kind", classes=("a", "b", "c"))
SIZE = Value(target="size", array="value:size")


def run_onnx(graph: bytes, arrays: dict[str, Any]) -> dict[str, Any]:
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, arrays), strict=True))


def arrays(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(count, 2)).astype(np.float32)
    numbers[::3] = np.nan
    return {
        "image.pixels": rng.integers(0, 256, (count, 10, 8, 3)).astype(np.uint8),
        "numbers": numbers,
        "codes": rng.integers(0, 4, (count, 1)),
    }


@pytest.fixture(scope="module")
def net() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = ConvNet(
            "image.pixels", 3, (4, 6, 8), (KIND, SIZE), Pixels([0.5] * 3, [0.2] * 3, (16, 12)), Facts([0.0] * 2, [1.0] * 2, [4])
        )
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
    return Net(module, (KIND, SIZE), arrays(50))


@pytest.fixture(scope="module")
def export(net: Net) -> Export:
    return net.export()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_graph_answers_as_the_net_does_for_any_number_of_rows(net: Net, export: Export, count: int) -> None:
    want, got = net.run(arrays(count)), run_onnx(export.graphs["model"], arrays(count))
    assert want[KIND.array].shape == (count, 3)
    assert want[SIZE.array].shape == (count,)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], atol=1e-5, strict=True)


def test_the_names_are_those_of_the_arrays(export: Export) -> None:
    (step,) = export.steps
    assert set(step.reads) == {"image.pixels", "numbers", "codes"}
    assert step.writes == (KIND.array, SIZE.array)


def test_nothing_of_this_machine_is_inside_and_nothing_is_printed(
    net: Net, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    graph = net.export().graphs["model"]
    assert b".py" not in graph
    assert b"BatchNormalization" not in graph
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_a_graph_that_answers_something_else_is_refused(net: Net) -> None:
    strict = Net(net.answer.net, net.outputs, net.examples, tolerance=-1.0)
    with pytest.raises(FermionError, match="the exported model must be within -1 of the fitted one"):
        strict.export()


def test_folding_changes_no_answer_and_leaves_the_net_alone() -> None:
    block = ConvNormAct(2, 3)
    assert isinstance(block.norm, nn.BatchNorm2d)
    block.norm.running_mean = torch.tensor([0.1, -0.2, 0.3])
    block.norm.running_var = torch.tensor([0.5, 2.0, 1.5])
    x = torch.rand(2, 2, 5, 5)
    torch.testing.assert_close(folded(block.eval())(x), block(x))
    assert isinstance(block.norm, nn.BatchNorm2d)


def test_recurrent_layers_take_any_length_in_every_export_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second on, torch would write out the steps of the example, one by one."""
    monkeypatch.setattr(graphs, "LONG", 5)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.forth, self.memory = nn.GRU(2, 3, batch_first=True), nn.LSTM(2, 3, batch_first=True)

        def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor]:
            return (self.forth(given[0])[0][:, -1] + self.memory(given[0])[0][:, -1],)

    module, rng = Both().eval(), np.random.default_rng(0)
    for _ in range(2):
        graph = graphs.to_onnx(module, {"x": np.zeros((2, 5, 2), np.float32)}, ["y"], {"x": {1: "length"}})
        for length in (1, 9):
            x = rng.normal(size=(3, length, 2)).astype(np.float32)
            with torch.no_grad():
                np.testing.assert_allclose(run_onnx(graph, {"x": x})["y"], module(torch.from_numpy(x))[0].numpy(), atol=1e-5)
