"""How many rows fit into the memory at once, measured before a training."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fermion.research.batches import Lengths, Tensors, gathered
from fermion.research.exhaustion import exhausted

FEW = 4  # rows of the smaller of the two measurements
SHARE = 0.7  # of the free memory that a step may take
TIMES = 3.0  # of what the forward pass keeps: the gradients of that, and what is needed for moments only
CGROUP = Path("/sys/fs/cgroup")


def rows_at_once(net: nn.Module, arrays: Tensors, batch: int, device: torch.device, lengths: Lengths | None = None) -> int:
    """The largest of batch, batch / 2, batch / 4, ... that fits into the free memory, at least 2.

    Measured, not tried: what the forward pass of the longest rows keeps for the backward pass grows with the number of rows, and
    the difference between 8 and 4 of them is that of 4. The net is as before afterwards; random numbers are the caller's to fork.
    """
    count = len(next(iter(arrays.values())))
    free = free_bytes(device)
    if count < 2 * FEW or batch <= 2 * FEW or not math.isfinite(free):
        return batch
    # `topk` puts the longest first, so both measurements have the same longest row
    together = None if lengths is None else lengths.together
    longest = torch.arange(2 * FEW) if together is None else torch.from_numpy(together).topk(2 * FEW).indices
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    net.train()
    try:
        many = _kept(net, gathered(arrays, longest, lengths))
        few = _kept(net, gathered(arrays, longest[:FEW], lengths))
    except (RuntimeError, MemoryError) as failed:
        if not exhausted(failed):
            raise
        return 2
    finally:
        with torch.no_grad():
            for name, buffer in net.named_buffers():
                buffer.copy_(buffers[name])
    weights = sum(w.nbytes for w in net.parameters())
    per_row = max(1.0, (many - few) / FEW) * TIMES
    room = SHARE * free - 4 * weights  # gradients and up to three states of an optimiser
    while batch > 2 and batch * per_row > room:
        batch = -(-batch // 2)
    return batch


def free_bytes(device: torch.device) -> float:
    """The memory of the device that nobody uses, infinite where that cannot be told."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    free = math.inf
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = float(lines["MemAvailable"].split()[0]) * 1024
    with contextlib.suppress(OSError, ValueError):  # of a container
        most, used = (float((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, most - used)
    with contextlib.suppress(ImportError, OSError, ValueError):  # of this process alone, as `ulimit -v` sets it
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            free = min(free, limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
    return free


def _kept(net: nn.Module, arrays: Tensors) -> int:
    """Bytes that the forward pass keeps for the backward pass, each piece of memory once."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    def unpack(tensor: Any) -> Any:
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        raw = net(arrays)  # held until all is counted, so that no piece of memory is used twice
        total = sum(seen.values())
    del raw
    return total
