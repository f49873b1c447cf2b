"""Stages that are done only once: what a stage gave is kept by the digest of everything it depends on."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

import fermion
from fermion.bundle.bundle import replacing
from fermion.core.run import Run

T = TypeVar("T")
PARTIAL = ".partial"
WEEK = 7 * 86400.0


class Stages:
    """Runs the stages of one pipeline, in order, and says which were reused.

    A stage's result is a msgspec value; big parts of it are blobs in the project's store, named by digest. A result appears under its
    key only when it is whole, so a killed run leaves what it had finished and nothing else.
    """

    def __init__(self, folder: Path | None, run: Run) -> None:
        self._folder, self._run = folder, run
        self.times: dict[str, dict[str, Any]] = {}

    def stage(self, name: str, kind: type[T], depends: Any, work: Callable[[], T], *, keep: Callable[[], bool] = lambda: True) -> T:
        """What `work` gives, or gave before for the same `depends`.

        Args:
            name: of the stage; also the folder of its results.
            kind: the type of the result.
            depends: everything that the result depends on, as msgspec can encode it.
            work: does it.
            keep: whether the result may be reused, asked when it is there: a fit that was stopped by hand may not.
        """
        with self._timed(name) as entry:
            path = None if self._folder is None else self._path(name, depends)
            if path is not None and path.is_file():
                with contextlib.suppress(msgspec.DecodeError, OSError):
                    result = msgspec.json.decode(path.read_bytes(), type=kind)
                    entry["reused"] = True
                    return result
            result = work()
            if path is not None and keep():
                with replacing(path) as scratch:
                    scratch.write_bytes(msgspec.json.encode(result))
                shutil.rmtree(path.with_suffix(PARTIAL), ignore_errors=True)
            return result

    def partial(self, name: str, depends: Any) -> Path | None:
        """Where the work of a stage may save its state, so that it goes on from there when it is killed; None where nothing is kept.

        The folder is gone when the stage is done. Those of other settings are left for a week: who goes back to them goes on.
        """
        if self._folder is None:
            return None
        for folder in (self._folder / name).glob(f"*{PARTIAL}"):
            with contextlib.suppress(OSError):
                if time.time() - max((one.stat().st_mtime for one in folder.iterdir()), default=folder.stat().st_mtime) > WEEK:
                    shutil.rmtree(folder, ignore_errors=True)
        return self._path(name, depends).with_suffix(PARTIAL)

    def _path(self, name: str, depends: Any) -> Path:
        assert self._folder is not None
        return self._folder / name / f"{digest([fermion.__version__, name, depends])}.json"

    def plain(self, name: str, work: Callable[[], T]) -> T:
        """A stage that is done every time: one that only moves a tag, say."""
        with self._timed(name):
            return work()

    @contextlib.contextmanager
    def _timed(self, name: str) -> Generator[dict[str, Any]]:
        self._run.emit("stage", name)
        began = time.perf_counter()
        entry: dict[str, Any] = {"seconds": 0.0, "reused": False}
        yield entry
        entry["seconds"] = round(time.perf_counter() - began, 4)
        self.times[name] = entry
        self._run.emit("done", name, **entry)


def digest(value: Any) -> str:
    """The sha256 of a value as canonical JSON.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
