"""Where work happens: here, one item after the other, or in processes on this machine."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Annotated, Any, Protocol, TypeVar

from msgspec import Meta, Struct

from fermion.core.errors import FermionError, Told, UsageError, shortened

T = TypeVar("T")
R = TypeVar("R")


class Resources(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one task takes while it runs: processors, GPUs (a half is half of one) and bytes of memory.

    >>> Resources(cpus=0)
    Traceback (most recent call last):
    fermion.core.errors.UsageError: need.cpus must be more than 0, got 0. Leave it out for 1.
    """

    cpus: Annotated[float, Meta(gt=0)] = 1
    gpus: Annotated[float, Meta(ge=0)] = 0
    memory: Annotated[int, Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        if not self.cpus > 0:
            raise UsageError("need.cpus", rule="more than 0", given=self.cpus, remedy="Leave it out for 1.")
        if not self.gpus >= 0:
            raise UsageError("need.gpus", rule="0 or more", given=self.gpus, remedy="Leave it out for 0.")
        if self.memory is not None and not self.memory > 0:
            raise UsageError("need.memory", rule="a number of bytes above 0", given=self.memory, remedy="Leave it out when it is not known.")


ONE_CPU = Resources()


class Engine(Protocol):
    """Runs one task over many items. Contract: `fermion.testing.engines`."""

    def map(self, task: Callable[[T], R], items: Iterable[T], *, need: Resources = ONE_CPU) -> Iterator[R]:
        """task(item) for every item, in the order of the items, each as soon as it and those before it are ready.

        Items are taken as they are needed, so they may be endless. Who stops iterating ends the tasks that are still running.

        Raises:
            FermionError: a task's own errors as they are, with their fields; or the worker died.
            UsageError: the task cannot be sent to where it would run, or needs what is not there.
        """
        ...


class Inline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="inline"):
    """Here and now, one item after the other: what a debugger likes.

    >>> list(Inline().map(abs, [-1, 2]))
    [1, 2]
    """

    def map(self, task: Callable[[T], R], items: Iterable[T], *, need: Resources = ONE_CPU) -> Iterator[R]:
        return (task(item) for item in items)


class Processes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="processes"):
    """In worker processes on this machine, started afresh (spawn), because a forked PyTorch or Polars may hang.

    Args:
        workers: processors to use, or None for all. As many tasks run at once as fit into them and into the memory of the machine.

    A worker's libraries are held to `need.cpus` threads unless the environment says otherwise (OMP_NUM_THREADS and its like). Workers leave
    Ctrl-C to the caller, and end at once when the caller stops iterating, fails or is killed.

    >>> list(Processes(workers=2).map(abs, [-1, 2]))
    [1, 2]
    """

    workers: Annotated[int, Meta(ge=1)] | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError("workers", rule="1 or more", given=self.workers, remedy="Leave it out for one per processor.")

    def map(self, task: Callable[[T], R], items: Iterable[T], *, need: Resources = ONE_CPU) -> Iterator[R]:
        _packed(task, "the task")  # told now, not when the first result is asked for
        return _stream(task, items, at_once=self._at_once(need), threads=math.ceil(need.cpus))

    def _at_once(self, need: Resources) -> int:
        if need.gpus:
            remedy = "Its tasks would share a GPU without knowing of each other. Use the engine `inline`, which runs one at a time."
            raise UsageError("need.gpus", rule="0 for the engine `processes`", given=need.gpus, remedy=remedy)
        fit = int((self.workers or _processors()) / need.cpus)
        if need.memory is not None:
            memory = _memory()
            if need.memory > memory:
                remedy = "Use a smaller task or a larger machine."
                raise UsageError("need.memory", rule=f"at most this machine's {memory} bytes", given=need.memory, remedy=remedy)
            fit = min(fit, memory // need.memory)
        return max(1, fit)


THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "POLARS_MAX_THREADS")
AHEAD = 2  # items per worker that are under way at once: one runs, one waits so that the worker never does


def _stream(task: Callable[[T], R], items: Iterable[T], *, at_once: int, threads: int) -> Iterator[R]:
    context = multiprocessing.get_context("spawn")
    # The workers' lifeline: its writing end exists in this process alone, so a close here and this process's death look the same to them.
    lifeline, hold = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(at_once, mp_context=context, initializer=_begin, initargs=(lifeline, threads))
    waiting: deque[Future[bytes]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(_perform, _packed((task, item), "the item")))
            if len(waiting) >= AHEAD * at_once:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
        pool.shutdown()  # all is done: let the workers end in their own way
    except BrokenProcessPool as broken:
        raise FermionError(
            "a worker process",
            rule="alive until its task is done",
            given=Told("one that died or was killed"),
            remedy="Out of memory is the usual cause: use fewer `workers`, or say `need.memory`. In a script, the call must stand under "
            '`if __name__ == "__main__":`. The engine `inline` shows what the task does.',
        ) from broken
    finally:
        hold.close()
        pool.shutdown(cancel_futures=True)
        lifeline.close()


def _result(future: Future[bytes]) -> Any:
    return pickle.loads(future.result())


def _packed(value: object, subject: str) -> bytes:
    """Pickled here and not by the pool, whose own pickling breaks as a whole on what cannot be read back."""
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(subject, rule="sendable to another process", given=value, remedy=f"{MODULE_LEVEL} ({error})") from error


MODULE_LEVEL = (
    "Define functions and classes at the top level of a module that can be imported: no lambda, nothing local; bind settings with functools.partial."
)


def _begin(lifeline: Connection, threads: int) -> None:
    """In a new worker, before its first task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the caller decides what it means
    for name in THREAD_LIMITS:
        os.environ.setdefault(name, str(threads))
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)  # nothing is ever sent: this returns when the other end is gone
    os._exit(1)


def _perform(packed: bytes) -> bytes:
    """In a worker: one item. What cannot travel back is replaced by an error that can, because the pool would break on it."""
    try:
        task, item = pickle.loads(packed)
    except Exception as error:  # unpickling runs code of any kind
        given = Told(f"{type(error).__name__}: {error}")
        raise UsageError("the task and its item", rule="known to another process", given=given, remedy=MODULE_LEVEL) from error
    try:
        result = task(item)
    except Exception as error:
        if _survives(error):
            raise
        given = Told(shortened(error))
        raise FermionError("the task", rule="done without an error", given=given, remedy="The lines above show where it came from.") from error
    return _packed(result, "the task's result")


def _survives(error: Exception) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:  # both directions run the foreign error's own code
        return False


def _processors() -> int:
    """Those that this process may use, which in a container are fewer than there are."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _memory() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
