"""The one training loop of every torch model, to be read from top to bottom.

A net takes encoded arrays by name and answers one raw array per output: logits (B, K) for a Probability, (B,) for a Value.
`train` moves its weights. What a step, a look, a mean of weights and a checkpoint are stands in a file of its own each.

    data stay whole tensors -> rows of a batch -> cut to the longest -> augment -> net -> sum of losses -> backward -> optimisers
    few times per training: loss on the validation part, the best weights kept in memory and restored at the end
    every half minute: all of it on the disk, so that a killed training goes on as if nothing had happened
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from msgspec import structs
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.columns.output import Probability
from fermion.core.errors import DataError, SpecError, Stopped, Told
from fermion.core.run import Run
from fermion.research.augment import Augmenting
from fermion.research.averaging import average_of, averaged
from fermion.research.batches import Lengths, Tensors, gathered, predict_raw, row_weights, tensors
from fermion.research.blocks import Heads, Weighed, settle, unsettled
from fermion.research.finder import MOST, find_share
from fermion.research.losses import total_loss
from fermion.research.model import Curve, Encoded
from fermion.research.nonfinite import diverged
from fermion.research.own_loss import own_losses
from fermion.research.precision import PROBED
from fermion.research.recipe import Recipe, Trained
from fermion.research.resume import Checkpoints, fingerprint
from fermion.research.schedules import Plateau
from fermion.research.sizing import settled
from fermion.research.stepping import Stepper
from fermion.research.targets import labelled
from fermion.research.validation import Check, Points, curve

__all__ = [
    "Check", "Lengths", "Recipe", "Tensors", "Trained", "calibrate", "device_of", "gathered", "predict_raw", "row_weights",
    "seeded", "tensors", "total_loss", "train",
]  # fmt: skip


class Progress:
    """How far a training has come, and what it has told on the way."""

    def __init__(self) -> None:
        self.done, self.position, self.told, self.looked, self.seconds = 0, 0.0, 0.0, 0, 0.0
        self.losses: list[Tensor] = []  # since it was told last, with their rows
        self.rows: list[Tensor] = []
        self.points: Points = []
        self.notes: list[str] = []
        self.found: list[list[float]] = []  # of the range test, x and y
        self.whole = False  # ended, with the best weights in the net

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it: everything."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As it was."""
        vars(self).update(state)
        self.rows = [rows.cpu() for rows in self.rows]


def train(
    net: nn.Module, rows: Encoded, valid: Encoded, recipe: Recipe, run: Run, *, stage: str = "fit", augment: Augmenting | None = None
) -> Trained:
    """Train `net` in place and leave the weights with the least validation loss in it.

    Ends with `recipe.steps`, with the time that `run` has left, with its stop signal or with the patience, whichever comes first:
    the schedule's position is max(share of the steps, share of the time), so that it is complete in each of the first two cases.
    The seeds are `run`'s: the same seed gives the same weights on one machine as long as the time does not run out and the measured
    precision is the same. A training that was killed goes on from its checkpoint in `run.checkpoints`, with the same result.

    Args:
        net: arrays by name, each (B, ...), -> raw outputs by `output.array`. Arrays of varying length are cut to the batch's longest row.
        rows: what is learned from, N >= 1.
        valid: what is chosen by; without a labelled row the last weights are kept.
        augment: what every training batch goes through before the net reads it.

    Raises:
        FermionError: the loss is no longer finite, or the memory is too small for two rows.
        Stopped: the stop signal came before the first step.
    """
    began, limit = time.monotonic(), 0.97 * run.left()  # the rest is for the last look
    if run.stopped:
        raise _unbegun()
    if not len(rows):
        raise DataError("the training part", rule="not empty", given=Told("0 rows"), remedy="Give more data or a smaller test share.")
    device = device_of(run.device)
    if recipe.weigh == "learned" and len(rows.outputs) > 1:
        net = Weighed(net, len(rows.outputs))
    net.to(device)
    way, training = recipe.way, recipe.training
    own = own_losses(training.loss, rows.outputs, run.home)
    optimizers = way.optimizers(net)
    progress, plateau = Progress(), Plateau(way.floor)
    with seeded(run.seed_for(f"{stage}: net"), run.device):
        key = "" if run.checkpoints is None else fingerprint(net, {"rows": rows, "valid": valid}, _told(recipe, run, stage, augment))
        with seeded(0, run.device):  # it measures, and what that draws is nobody's

            def stepping(told: Recipe) -> Stepper:
                return Stepper(net, rows, told, device, optimizers, augment, own)

            if recipe.find_batch:
                kept = None if run.checkpoints is None else run.checkpoints / f"{key}.batch"
                recipe, note = settled(recipe, stepping, optimizers, rows, kept)
                progress.notes.append(note)
                if augment is not None:
                    augment.batches = 0
            stepper = stepping(recipe)
        check = Check(
            net,
            valid,
            device,
            looks=recipe.evaluations,
            patience=recipe.patience,
            balance=recipe.balance,
            smoothing=recipe.smoothing,
            at_once=stepper.at_once,
            own=own,
        )
        batches = stepper.batches(rows, run.seed_for(f"{stage}: batches"))
        average = average_of(net, training, optimizers)
        looks = check.evaluations(recipe.steps * recipe.rows_per_step)
        parts: dict[str, Any] = {"net": net, "progress": progress, "stepper": stepper, "check": check, "batches": batches}
        parts |= {f"optimizer {at}": optimizer for at, optimizer in enumerate(optimizers)}
        parts |= {"plateau": plateau} | ({} if average is None else {"average": average})
        checkpoints = Checkpoints(run.checkpoints, key, training.every, device)

        def look() -> None:
            with averaged(net, average, stepper.renewing):
                loss = check.look(progress.done, run, stage)
            if way.schedule == "plateau":
                plateau.saw(loss)

        def save() -> None:
            if failed := checkpoints.write(parts):
                run.emit("warning", stage, failed)

        if checkpoints.read(parts):
            run.emit("note", stage, f"Training goes on from step {progress.done:,}, where a run was interrupted.")
        elif training.find_lr or recipe.find_lr:
            tried = stepper.batches(rows, run.seed_for(f"{stage}: range test"))
            found = find_share(net, optimizers, lambda: stepper.take(tried.next(), PROBED), steps=min(MOST, max(40, recipe.steps)))
            share = 1.0 if found is None else found.share
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["peak"] *= share
            progress.found = [] if found is None else [found.curve.x, found.curve.y]
            progress.notes.append(
                "The range test found no learning rate at which the loss falls; model.lr was kept."
                if found is None
                else f"The range test found the learning rate {way.lr * share:.2g}, {share:.2g} times model.lr."
            )
            if augment is not None:
                augment.batches = 0
        spent = progress.seconds
        while not progress.whole and progress.position < 1.0 and not run.stopped and not check.patience_over:
            factor = way.factor(min(progress.position, 1 - training.swa)) * plateau.level
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * factor
            progress.rows.append(batches.next())
            progress.losses.append(stepper.take(progress.rows[-1], progress.done))
            progress.done += 1
            progress.seconds = spent + time.monotonic() - began
            progress.position = position = _position(progress.done, recipe.steps, progress.seconds, limit)
            if average is not None:
                average.update(position)
            if position - progress.told >= 0.01 or position >= 1.0:
                progress.told, losses = position, torch.stack(progress.losses)
                value = float(losses.mean())
                if not math.isfinite(value):
                    first = int(torch.isfinite(losses).logical_not().nonzero()[0])
                    step = progress.done - len(losses) + first + 1
                    raise diverged(
                        rows, progress.rows[first].numpy(), step=step, stage=stage, optim=way, own=[one.at for one in own.values()]
                    )
                progress.losses, progress.rows = [], []
                progress.points.append((progress.done, value))
                run.emit("progress", stage, done=min(position, 1.0) * recipe.steps, total=recipe.steps)
                run.emit("metric", stage, done=progress.done, loss=value)
            if position * looks >= progress.looked + 1 or position >= 1.0:
                progress.looked = math.floor(position * looks)
                look()
            if checkpoints.due and position < 1.0:
                save()
        if not progress.done:  # stopped while everything was made ready
            raise _unbegun()
        if not progress.whole:
            if run.stopped:  # `fermion run` goes on from here
                save()
            if check.looked != progress.done:
                look()
            progress.whole = not run.stopped
            if progress.whole and progress.seconds >= training.every:  # of several trainings, only the last has to go on
                save()
    check.restore()
    net.eval()
    if unsettled(net):
        settle(net, predict_raw(net, stepper.data, stepper.at_once, stepper.lengths), stepper.targets)
    notes = [*progress.notes, *stepper.notes, *stepper.precision.notes]
    if run.stopped:
        notes.append(f"Training was stopped after {progress.done:,} of {recipe.steps:,} steps; the best weights so far were kept.")
    elif check.patience_over:
        notes.append(f"Training ended after {progress.done:,} of {recipe.steps:,} steps: the validation loss no longer fell.")
    elif progress.done < recipe.steps:
        notes.append(f"The time allowed {progress.done:,} of {recipe.steps:,} steps; the learning rate was brought down within it.")
    tested = [Curve(name="range test", x=progress.found[0], y=progress.found[1], unit="times model.lr")] if progress.found else []
    return Trained(
        loss=check.best,
        steps=progress.done,
        best=check.best_step,
        seconds=progress.seconds,
        curves=(curve("training loss", progress.points), *check.curves(), *tested),
        notes=tuple(notes),
    )


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
    raw = predict_raw(net, arrays, lengths=Lengths.of(valid.schema, valid.arrays))
    for position, output in enumerate(heads.outputs):
        target = labelled(output, valid)
        if not isinstance(output, Probability) or output.ordered or not len(target):
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


def _told(recipe: Recipe, run: Run, stage: str, augment: Augmenting | None) -> str:
    """What a training is, beside its net and rows. How often it is saved is no part of that."""
    training = structs.replace(recipe.training, checkpoint="30s")
    return repr((structs.replace(recipe, training=training), run.seed, run.device, stage, [] if augment is None else augment.parts))


def _position(done: int, steps: int, seconds: float, limit: float) -> float:
    # The first twentieth of the time does not count, so that a slow start leaves a training that fits in easily as it is.
    late = seconds / limit if limit > 0 else 1.0
    return max(done / steps, late if late > 0.05 else 0.0)
