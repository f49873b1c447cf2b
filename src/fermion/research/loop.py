"""The one training loop of every torch model, to be read from top to bottom.

A net takes encoded arrays by name and answers one raw array per output: logits (B, K) for a Probability, (B,) for a Value.
`train` moves its weights; everything else here is what `train` needs.

    data stay whole tensors -> a permutation -> index_select -> augment -> net -> sum of losses -> backward -> AdamW and Muon
    few times per training: loss on the validation part, the best weights kept in memory and restored at the end
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from msgspec import Struct, field
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.columns.output import UNLABELLED, Output, Probability
from fermion.core.errors import DataError, FermionError, SpecError, Stopped, Told
from fermion.core.run import Run
from fermion.research.augment import Augmenting, Labels
from fermion.research.blocks import Heads
from fermion.research.heads import head_of
from fermion.research.model import Curve, Encoded
from fermion.research.optim import Steps
from fermion.research.targets import labelled

Tensors = dict[str, Tensor]
PROBED = 6  # first steps that try both precisions
GAIN = 1.15  # how much faster bfloat16 has to be


class Recipe(Struct, frozen=True, kw_only=True):
    """How long and with what a net is trained.

    `steps` are batches, not passes over the data: three passes over 1,000 rows teach nothing. `patience` is how many evaluations
    may pass without a better validation loss (0: train to the end; a decaying schedule is at its best there).
    """

    steps: int
    batch: int = 512
    optim: Steps = field(default_factory=Steps)
    smoothing: float = 0.0
    balance: bool = False
    evaluations: int = 20
    patience: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class Trained(Struct, frozen=True, kw_only=True):
    """What there is to tell about a training; the weights are in the net."""

    loss: float  # of the kept weights on the validation part
    steps: int
    best: int  # the step after which the kept weights were found
    seconds: float
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]


def train(
    net: nn.Module, rows: Encoded, valid: Encoded, recipe: Recipe, run: Run, *, stage: str = "fit", augment: Augmenting | None = None
) -> Trained:
    """Train `net` in place and leave the weights with the least validation loss in it.

    Ends with `recipe.steps`, with the time that `run` has left, with its stop signal or with the patience, whichever comes first:
    the schedule's position is max(share of the steps, share of the time), so that it is complete in each of the first two cases.
    The seeds are `run`'s: the same seed gives the same weights on one machine as long as the time does not run out and the measured
    precision is the same.

    Args:
        net: arrays by name, each (B, ...), -> raw outputs by `output.array`.
        rows: what is learned from, N >= 1.
        valid: what is chosen by; without a labelled row the last weights are kept.
        augment: what every training batch goes through before the net reads it.

    Raises:
        FermionError: the loss is no longer finite.
        Stopped: the stop signal came before the first step.
    """
    began, limit = time.monotonic(), 0.97 * run.left()  # the rest is for the last look
    if run.stopped:
        raise _unbegun()
    if not len(rows):
        raise DataError("the training part", rule="not empty", given=Told("0 rows"), remedy="Give more data or a smaller test share.")
    device = device_of(run.device)
    net.to(device)
    data, targets = tensors(rows, device)
    weights = row_weights(rows, recipe.balance, device)
    batches = permuted(len(rows), recipe.batch, run.seed_for(f"{stage}: batches"))
    optimizers = recipe.optim.optimizers(net)
    check = Check(net, valid, recipe, device)
    clock = Precision(recipe.precision, device)
    losses: list[Tensor] = []
    curve: list[tuple[int, float]] = []
    looks = check.evaluations(recipe.steps * recipe.batch)
    done, position, told, looked = 0, 0.0, 0.0, 0
    with seeded(run.seed_for(f"{stage}: net"), run.device):
        while position < 1.0 and not run.stopped and not check.patience_over:
            net.train()
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * recipe.optim.factor(position)
            chosen = next(batches).to(device)
            batch = {name: array.index_select(0, chosen) for name, array in data.items()}
            truth = {name: array.index_select(0, chosen) for name, array in targets.items()}
            labels = (Labels(targets=truth, weights=None if weights is None else weights.index_select(0, chosen)),)
            with clock.step(done):
                with clock.autocast(done):
                    if augment is not None:
                        batch, labels = augment(batch, labels)
                    raw = net(batch)
                parts = [total_loss(rows.outputs, raw, part.targets, part.weights, recipe.smoothing) for part in labels]
                loss = torch.stack(parts).sum()  # one truth, or several that were mixed
                loss.backward()
            if recipe.optim.clip:
                nn.utils.clip_grad_norm_(net.parameters(), recipe.optim.clip)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach())
            done += 1
            position = _position(done, recipe.steps, time.monotonic() - began, limit)
            if position - told >= 0.01 or position >= 1.0:
                told, value = position, float(torch.stack(losses).mean())
                losses.clear()
                if not math.isfinite(value):
                    raise _diverged(stage, done, recipe)
                curve.append((done, value))
                run.emit("progress", stage, done=min(position, 1.0) * recipe.steps, total=recipe.steps)
                run.emit("metric", stage, done=done, loss=value)
            if position * looks >= looked + 1 or position >= 1.0:
                looked = math.floor(position * looks)
                check.look(done, run, stage)
        if not done:  # stopped while everything was made ready
            raise _unbegun()
        if check.looked != done:
            check.look(done, run, stage)
    check.restore()
    net.eval()
    notes = [*clock.notes]
    if run.stopped:
        notes.append(f"Training was stopped after {done:,} of {recipe.steps:,} steps; the best weights so far were kept.")
    elif check.patience_over:
        notes.append(f"Training ended after {done:,} of {recipe.steps:,} steps: the validation loss no longer fell.")
    elif done < recipe.steps:
        notes.append(f"The time allowed {done:,} of {recipe.steps:,} steps; the learning rate was brought down within it.")
    curves = (_curve("training loss", curve), *check.curves())
    return Trained(loss=check.best, steps=done, best=check.best_step, seconds=time.monotonic() - began, curves=curves, notes=tuple(notes))


@torch.no_grad()
def calibrate(net: nn.Module, heads: Heads, valid: Encoded) -> None:
    """Set each temperature T of the heads, so that softmax(z / T) is right as often on the validation part as it says.

    T minimises the cross entropy there, which is convex in 1 / T, against targets that hold back K / (N + K) of their certainty: with
    no error among N rows one is not infinitely sure (Platt 1999; Guo et al. 2017).
    """
    if not len(valid):
        return
    arrays, _ = tensors(valid, heads.temperature.device)
    heads.temperature.fill_(1.0)
    raw = predict_raw(net, arrays)
    for position, output in enumerate(heads.outputs):
        target = labelled(output, valid)
        if not isinstance(output, Probability) or not len(target):
            continue
        z_NK = raw[output.array].cpu()[torch.from_numpy(target.at)].double()
        classes = z_NK.shape[1]
        held = classes / (len(target) + classes)
        q_NK = F.one_hot(torch.from_numpy(target.y), classes) * (1 - held) + held / classes
        w_N1 = torch.from_numpy(target.w)[:, None]
        low, high = 0.05, 20.0  # of 1 / T
        for _ in range(50):
            middle = (low * high) ** 0.5
            slope = (w_N1 * ((middle * z_NK).softmax(1) - q_NK) * z_NK).sum()
            low, high = (low, middle) if slope > 0 else (middle, high)
        heads.temperature[position] = 1 / low


class Check:
    """Looks at the validation part now and then, remembers the best weights and counts how long there were no better ones."""

    def __init__(self, net: nn.Module, valid: Encoded, recipe: Recipe, device: torch.device) -> None:
        self.net, self.valid, self.recipe = net, valid, recipe
        self.arrays, self.targets = tensors(valid, device)
        self.weights = row_weights(valid, recipe.balance, device)
        self.useful = any(len(labelled(output, valid)) for output in valid.outputs)
        self.best, self.best_step, self.looked, self.since = math.inf, 0, 0, 0
        self.kept: dict[str, Tensor] = {}
        self.points: dict[str, list[tuple[int, float]]] = {}

    def evaluations(self, trained_rows: int) -> int:
        """As many as the recipe says, at least 4, fewer where they would cost over a tenth of the training (a step is 3 forward passes)."""
        return max(4, min(self.recipe.evaluations, int(0.3 * trained_rows / max(1, len(self.valid)))))

    @property
    def patience_over(self) -> bool:
        return 0 < self.recipe.patience <= self.since

    def look(self, step: int, run: Run, stage: str) -> None:
        """Evaluate now."""
        self.looked = step
        values = self._values() if self.useful else {"validation loss": -float(step)}
        loss = values["validation loss"]
        self.since += 1
        if loss < self.best or not self.kept:
            self.best, self.best_step, self.since = loss, step, 0
            self.kept = {name: tensor.detach().clone() for name, tensor in self.net.state_dict().items()}
        if self.useful:
            for name, value in values.items():
                self.points.setdefault(name, []).append((step, value))
            told: dict[str, Any] = {name.replace(" ", "_"): value for name, value in values.items()}
            run.emit("metric", stage, done=step, **told)

    def restore(self) -> None:
        """The best weights into the net."""
        self.net.load_state_dict(self.kept)
        self.kept = {}

    def curves(self) -> tuple[Curve, ...]:
        return tuple(_curve(name, points) for name, points in self.points.items())

    def _values(self) -> dict[str, float]:
        raw = predict_raw(self.net, self.arrays, self.recipe.batch)
        values = {"validation loss": float(total_loss(self.valid.outputs, raw, self.targets, self.weights, self.recipe.smoothing))}
        for output in self.valid.outputs:
            if isinstance(output, Probability):
                codes = self.targets[output.target]
                known = codes != UNLABELLED
                name = "validation accuracy" if len(self.valid.outputs) == 1 else f"validation accuracy of {output.target}"
                values[name] = float((raw[output.array].argmax(1) == codes)[known].float().mean())
        return values


class Precision:
    """float32 or bfloat16 autocast, by what is faster here for this net and batch: the first steps try both in turn."""

    def __init__(self, wanted: str, device: torch.device) -> None:
        self.wanted, self.device = "float32" if device.type == "mps" else wanted, device
        self.seconds: dict[bool, list[float]] = {False: [], True: []}
        self.half = wanted == "bfloat16"
        self.notes: list[str] = []

    def _halved(self, step: int) -> bool:
        return step % 2 == 1 if self.wanted == "auto" and step < PROBED else self.half

    def autocast(self, step: int) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._halved(step))

    @contextmanager
    def step(self, step: int) -> Generator[None]:
        if self.wanted != "auto" or step >= PROBED:
            yield
            return
        _wait(self.device)
        began = time.perf_counter()
        yield
        _wait(self.device)
        if step >= 2:  # the first of each kind also builds kernels
            self.seconds[self._halved(step)].append(time.perf_counter() - began)
        if step == PROBED - 1:
            gain = min(self.seconds[False]) / min(self.seconds[True])
            self.half = gain >= GAIN
            if self.half:
                self.notes.append(f"bfloat16 autocast was measured {gain:.1f} times as fast as float32 here and used for training.")


def total_loss(outputs: Sequence[Output], raw: Tensors, truth: Tensors, weights: Tensor | None, smoothing: float = 0.0) -> Tensor:
    """Sum over the outputs of the mean over the labelled rows of w_i l_i.

    l is what the output's `heads.Head` says. Rows without a label count for nothing.
    """
    losses: list[Tensor] = []
    for output in outputs:
        each, known = head_of(output).loss(raw[output.array].float(), truth[output.target], smoothing)
        if weights is not None:
            each = each * weights
        losses.append(each.sum() / known.sum().clamp(min=1))
    return torch.stack(losses).sum()


def row_weights(rows: Encoded, balance: bool, device: torch.device) -> Tensor | None:
    """(N,) weights with mean 1, or None: the table's own, times N / (K n_k) for a row of class k where the classes are balanced."""
    if rows.weights is None and not balance:
        return None
    w_N = np.ones(len(rows)) if rows.weights is None else np.asarray(rows.weights, dtype=np.float64)
    for output in rows.outputs:
        if balance and isinstance(output, Probability):
            codes = rows.targets[output.target]
            counts = np.bincount(codes[codes >= 0], minlength=len(output.classes))
            w_N = w_N * np.where(codes >= 0, 1.0 / np.maximum(counts, 1)[codes], 0.0)
    mean = float(w_N.mean()) if len(w_N) else 0.0
    if not mean > 0:
        return None
    return torch.from_numpy((w_N / mean).astype(np.float32)).to(device)


def tensors(rows: Encoded, device: torch.device) -> tuple[Tensors, Tensors]:
    """Arrays and targets as tensors on the device, without a copy where they are there already; values become float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of arrays that are read-only; nothing here writes to them
        arrays = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in rows.arrays.items()}
        targets = {
            name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64 if array.dtype.kind in "iu" else np.float32)).to(device)
            for name, array in rows.targets.items()
        }
    return arrays, targets


@torch.no_grad()
def predict_raw(net: nn.Module, arrays: Tensors, batch: int = 512) -> Tensors:
    """Raw outputs of all rows in float32, batch by batch, in evaluation mode."""
    net.eval()
    count = len(next(iter(arrays.values())))
    parts = [net({name: array[at : at + batch] for name, array in arrays.items()}) for at in range(0, max(count, 1), batch)]
    return {name: torch.cat([part[name].float() for part in parts]) for name in parts[0]}


def permuted(count: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Row numbers in batches, for ever: a new permutation for each pass; the rows that fill no batch wait for the next pass."""
    generator, batch = torch.Generator().manual_seed(seed), min(batch, count)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order[: count - count % batch].split(batch)


@contextmanager
def seeded(seed: int, device: str = "cpu") -> Generator[None]:
    """Torch's own random numbers (initial weights, dropout) from this seed, and as they were afterwards."""
    devices = [torch.cuda.current_device()] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def device_of(name: str) -> torch.device:
    """The device of this name.

    Raises:
        SpecError: this machine, or this build of torch, does not have it.
    """
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(name.partition(":")[0], False):
        there = ", ".join(one for one, has in here.items() if has)
        raise SpecError("device", rule=f"one that torch finds here ({there})", given=name, remedy="Leave it out for the cpu.")
    return torch.device(name)


def _unbegun() -> Stopped:
    return Stopped("the training", rule="begun before it is stopped", given=Told("no step"), remedy="Run it again.")


def _position(done: int, steps: int, seconds: float, limit: float) -> float:
    # The first twentieth of the time does not count, so that a slow start leaves a training that fits in easily as it is.
    late = seconds / limit if limit > 0 else 1.0
    return max(done / steps, late if late > 0.05 else 0.0)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _curve(name: str, points: list[tuple[int, float]]) -> Curve:
    return Curve(name=name, x=[float(step) for step, _ in points], y=[value for _, value in points])


def _diverged(stage: str, step: int, recipe: Recipe) -> FermionError:
    return FermionError(
        "the training loss",
        rule="finite",
        given=Told(f"NaN or infinity at step {step:,} of `{stage}`"),
        remedy=f"Lower model.lr (now {recipe.optim.lr:g}) or look for extreme values in the data with `fermion check`.",
    )
