"""In which precision a net computes while it learns: float32, bfloat16 or float16, by what is faster here."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from fermion.core.errors import SpecError, Told

Wanted = Literal["auto", "float32", "bfloat16", "float16"]
PROBED = 6  # first steps that try both precisions
GAIN = 1.15  # how much faster the shorter one has to be


class Precision:
    """float32 or autocast to 16 bits, by what is faster here for this net and batch: the first steps try both in turn.

    The 16 bits are bfloat16 where the device has it. float16 has less range: its gradients are computed from a loss that is scaled
    up as far as they stay finite, and a step whose gradients do not is left out (Micikevicius et al. 2018, "Mixed precision training").

    Raises:
        SpecError: float16 on a device without it.
    """

    def __init__(self, wanted: Wanted, device: torch.device) -> None:
        if wanted == "float16" and device.type != "cuda":
            remedy = "Use bfloat16, or auto for what is faster."
            raise SpecError("precision", rule="float16 only on cuda", given=Told(f"float16 on {device.type}"), remedy=remedy)
        self.wanted, self.device = "float32" if device.type == "mps" else wanted, device
        self.seconds: dict[bool, list[float]] = {False: [], True: []}
        self.half = wanted in ("bfloat16", "float16")
        self.dtype = torch.float16 if wanted == "float16" or (wanted == "auto" and not _has_bfloat16(device)) else torch.bfloat16
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)
        self.notes: list[str] = []

    def _halved(self, step: int) -> bool:
        return step % 2 == 1 if self.wanted == "auto" and step < PROBED else self.half

    def autocast(self, step: int) -> AbstractContextManager[Any]:
        """The context of the forward pass of a step."""
        return torch.autocast(self.device.type, self.dtype) if self._halved(step) else nullcontext()

    def backward(self, loss: Tensor) -> None:
        """The gradients of the loss, added to those that are there."""
        self.scaler.scale(loss).backward()

    def move(self, optimizers: Sequence[torch.optim.Optimizer], weights: Sequence[Tensor], clip: float) -> None:
        """One step of the optimisers along the gradients, which are gone afterwards."""
        if clip:
            for optimizer in optimizers:
                self.scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(weights, clip)
        for optimizer in optimizers:
            self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()

    @contextmanager
    def step(self, step: int) -> Generator[None]:
        """Around the work of a step: the first ones are timed."""
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
                name = str(self.dtype).removeprefix("torch.")
                self.notes.append(f"{name} autocast was measured {gain:.1f} times as fast as float32 here and used for training.")

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        timed = [self.seconds[False], self.seconds[True]]
        return {"seconds": timed, "half": self.half, "notes": self.notes, "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As it was."""
        self.seconds = {False: state["seconds"][0], True: state["seconds"][1]}
        self.half, self.notes = state["half"], state["notes"]
        self.scaler.load_state_dict(state["scaler"])


def _has_bfloat16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
