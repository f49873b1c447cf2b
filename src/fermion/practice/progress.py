"""Progress for people: a bar with the time left on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from fermion.core.run import Event

WIDTH = 24
EVERY = 10.0  # seconds between lines where there is no terminal


class Progress:
    """A listener of a run's events that writes to standard error."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stderr
        self.live = self.out.isatty()
        self._stage, self._began, self._last, self._metric = "", 0.0, 0.0, ""
        self._drawn = False

    def __call__(self, event: Event) -> None:
        if event.kind == "stage":
            self._stage, self._began, self._last, self._metric = event.stage, time.monotonic(), time.monotonic(), ""
            if self.live:
                self._draw(f"  {event.stage:<9} ...")
        elif event.kind == "progress":
            self._progress(event)
        elif event.kind == "metric":
            self._metric = "  ".join(f"{name} {value:.4g}" for name, value in event.values.items() if isinstance(value, int | float))
        elif event.kind == "done":
            told = "reused" if event.values.get("reused") else _clock(float(event.values.get("seconds", 0.0)))
            self._line(f"  {event.stage:<9} {told:>8}  {self._metric}".rstrip())
        elif event.kind in ("finding", "note", "warning"):
            mark = {"finding": str(event.values.get("severity", "")) or "finding"}.get(event.kind, event.kind)
            self._line(f"  {'':<9} {mark}: {event.text}")

    def _progress(self, event: Event) -> None:
        now = time.monotonic()
        if event.total <= 0 or now - self._last < (0.1 if self.live else EVERY):
            return
        self._last = now
        share = min(event.done / event.total, 1.0)
        left = (now - self._began) * (1 - share) / share if share > 0 else 0.0
        counted = f"{event.done:,.0f}/{event.total:,.0f}"
        if self.live:
            bar = "█" * round(share * WIDTH) + "░" * (WIDTH - round(share * WIDTH))
            self._draw(f"  {self._stage:<9} {bar} {share:4.0%}  {counted}  {_clock(left)} left  {self._metric}".rstrip())
        else:
            self._line(f"  {self._stage:<9} {share:4.0%} {counted}, {_clock(left)} left  {self._metric}".rstrip())

    def _draw(self, text: str) -> None:
        self.out.write(f"\r\x1b[K{text[:200]}")
        self.out.flush()
        self._drawn = True

    def _line(self, text: str) -> None:
        if self._drawn:
            self.out.write("\r\x1b[K")
            self._drawn = False
        self.out.write(text + "\n")
        self.out.flush()


def _clock(seconds: float) -> str:
    """Seconds as a person says them.

    >>> _clock(0.25), _clock(75), _clock(4000)
    ('0.25 s', '1:15', '1:06:40')
    """
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
