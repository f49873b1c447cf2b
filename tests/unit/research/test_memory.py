"""Trainings in a process whose memory really ends: the operating system refuses what is asked for beyond a limit."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("resource", reason="limits of a process are set with it")

# A net whose wide layer takes 256 kB per row for the gradients (kept) or, beside them, for a scratch that no measurement of what
# is kept can see.
PROGRAM = """
import json, resource, sys
import numpy as np, torch
from torch import nn
from fermion.columns.number import Number
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.core.run import Run
from fermion.research.blocks import Heads
from fermion.research.loop import Recipe, seeded, train
from fermion.research.model import Encoded
from fermion.research.optim import Steps

kind, limit = sys.argv[1], int(sys.argv[2]) << 20
KIND = Probability(target="kind", array="probabilities:kind", classes=("a", "b"))
WIDE = 64 * 1024

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.narrow, self.hidden = nn.Linear(2, 4), nn.Linear(2, WIDE)
        self.heads = Heads(4 if kind == "scratch" else WIDE, (KIND,))
        self.sizes = []

    def forward(self, arrays):
        x = arrays["numbers"]
        self.sizes.append(len(x))
        if kind == "kept":
            return self.heads(self.hidden(x).relu())
        with torch.no_grad():
            scratch = self.hidden(x).relu().sum(1, keepdim=True)
        return self.heads(self.narrow(x) + 0 * scratch)

schema = Schema.of({"x": Number(), "y": Number()}).fit({"x": [0.0, 1.0], "y": [0.0, 1.0]})
x = np.random.default_rng(0).normal(size=(1500, 2)).astype(np.float32)
rows = Encoded(schema=schema, outputs=(KIND,), arrays={"numbers": x}, targets={"kind": (x[:, 0] > 0).astype(np.int64)})
with seeded(0):
    net = Wide()
net({"numbers": torch.zeros(4, 2)})["probabilities:kind"].sum().backward()  # all libraries are there before the limit is
net.zero_grad()
net.sizes.clear()
if limit:
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + limit, used + limit))
recipe = Recipe(steps=4, batch=1024, optim=Steps(lr=0.001, matrix_lr=0.0), precision="float32")
done = train(net, rows, rows.take(np.arange(1000, 1500)), recipe, Run())
print(json.dumps({"notes": done.notes, "sizes": net.sizes, "steps": done.steps, "loss": done.loss}))
"""


def trained(kind: str, megabytes: int) -> dict[str, Any]:
    """What a training says in a process of its own that gets so much more memory than it has; 0 is no limit."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind, str(megabytes)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a limit of addresses kept")
def test_a_batch_that_the_system_refuses_is_halved_and_learned_from() -> None:
    """1,024 rows need 256 MB and more at once, which nothing told beforehand."""
    limited, free = trained("scratch", 160), trained("scratch", 0)
    assert limited["steps"] == free["steps"] == 4
    assert any("The memory was too small for" in note for note in limited["notes"]), limited
    assert min(limited["sizes"]) < 512
    assert limited["loss"] == pytest.approx(free["loss"], rel=1e-5)
    assert free["notes"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a limit of addresses kept")
def test_a_limit_of_the_process_is_known_before_the_training() -> None:
    """A batch of 1,024 rows keeps 512 MB: it is not even tried."""
    limited = trained("kept", 250)
    assert limited["steps"] == 4
    assert max(limited["sizes"]) <= 256
    assert limited["notes"][0].startswith(("The memory allows", "The memory was too small for")), limited["notes"]
