"""The one context that is passed along: seed, device, time budget, scratch folder, stop signal, and one stream of events."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, field


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened. Progress bars, the JSON log and the report's curves all read this one stream.

    `kind` is "stage" (one begins), "done" (it ended; values hold seconds and reused), "progress" (done of total),
    "metric" (values at step `done`), "finding", "note" or "warning".
    """

    kind: str
    stage: str = ""
    text: str = ""
    done: float = 0.0
    total: float = 0.0
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    at: float = 0.0


Listener = Callable[[Event], None]


class Run:
    """Context of one piece of work. Same seed, same result: every random stream comes from here.

    Args:
        seed: the root of all random streams.
        device: "cpu", "cuda" or "mps".
        budget: seconds the work may take, or None. Fitting stops in time with the best model so far.
        folder: scratch space that may be deleted afterwards.
        checkpoints: where a long piece of work saves its state and looks for one to go on from; None for nowhere.
        cache: where what is dear to compute is kept under its content, for this run and later ones; None for nowhere.
        home: where files and modules that a setting names lie: the project's folder; the working directory for None.
        listeners: who hears the events.

    >>> run = Run(seed=7)
    >>> run.seed_for("split") == Run(seed=7).seed_for("split") != run.seed_for("model")
    True
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        device: str = "cpu",
        budget: float | None = None,
        folder: Path | None = None,
        checkpoints: Path | None = None,
        cache: Path | None = None,
        home: Path | None = None,
        listeners: tuple[Listener, ...] = (),
    ) -> None:
        self.seed, self.device, self.budget, self.folder, self.home = seed, device, budget, folder, home
        self.checkpoints, self.cache = checkpoints, cache
        self.listeners = list(listeners)
        self.began = time.monotonic()
        self._stop = threading.Event()

    def seed_for(self, name: str) -> int:
        """A seed below 2**31 for the stream of this name."""
        return int(np.random.SeedSequence([self.seed, zlib.crc32(name.encode())]).generate_state(1)[0] >> 1)

    def rng(self, name: str) -> np.random.Generator:
        """A generator for the stream of this name, the same for the same seed."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def emit(self, kind: str, stage: str = "", text: str = "", /, *, done: float = 0.0, total: float = 0.0, **values: Any) -> None:
        """Tell every listener; one that fails is dropped, never the work."""
        event = Event(kind=kind, stage=stage, text=text, done=done, total=total, values=values, at=time.time())
        for listener in list(self.listeners):
            try:
                listener(event)
            except Exception:  # a closed pipe or a broken plugin must not cost a training run
                self.listeners.remove(listener)

    def stop(self) -> None:
        """Ask the work to end soon with the best it has (Ctrl-C does this once)."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether someone asked to stop: not the same as having run out of time."""
        return self._stop.is_set()

    @property
    def seconds(self) -> float:
        """Since this run began."""
        return time.monotonic() - self.began

    def left(self) -> float:
        """Seconds of the budget that remain; infinite without one, 0 once asked to stop."""
        if self.stopped:
            return 0.0
        return float("inf") if self.budget is None else max(0.0, self.budget - self.seconds)

    def within(self, share: float) -> Run:
        """A run with a share of the time that is left: same seed, listeners and stop signal."""
        budget = None if self.budget is None else self.left() * share
        part = Run(seed=self.seed, device=self.device, budget=budget, folder=self.folder, home=self.home)
        part.checkpoints, part.cache = self.checkpoints, self.cache
        part.listeners, part._stop = self.listeners, self._stop
        return part
