"""Where work happens: here, one item after the other, or in processes on this machine."""

from __future__ import annotations

import atexit
import math
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
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
            remedy = "Leave it out when it is not known."
            raise UsageError("need.memory", rule="a number of bytes above 0", given=self.memory, remedy=remedy)


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
MODULE_LEVEL = (
    "Define functions and classes at the top level of a module that can be imported: "
    "no lambda, nothing inside a function, nothing typed into a shell. Settings are bound with functools.partial."
)


def _stream(task: Callable[[T], R], items: Iterable[T], *, at_once: int, threads: int) -> Iterator[R]:
    crew = _Crew(at_once, threads)
    waiting: deque[Future[bytes]] = deque()
    try:
        for item in items:
            waiting.append(crew.submit(_packed((task, item), "the item")))
            if len(waiting) >= AHEAD * at_once:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
        crew.dismiss()
    finally:
        crew.end()


def _result(answer: Future[bytes]) -> Any:
    good, value = pickle.loads(answer.result())
    if good:
        return value
    raise value


class _Crew:
    """Worker processes, each with a thread here that hands it one item after the other.

    concurrent.futures shares one pipe among all its workers: one that is killed while it sends leaves the caller waiting for the rest
    of the message. Here each has a pipe of its own, whose end says at once, and to the right item, that its worker is gone.
    """

    def __init__(self, at_once: int, threads: int) -> None:
        self._at_once, self._threads = at_once, threads
        self._jobs: SimpleQueue[tuple[Future[bytes], bytes] | None] = SimpleQueue()
        self._attendants: list[threading.Thread] = []
        self._workers: list[SpawnProcess] = []
        self._lock = threading.Lock()
        self._ended = False
        atexit.register(self.end)  # an iterator that is still held when Python exits must not keep it waiting for the workers

    def submit(self, packed: bytes) -> Future[bytes]:
        answer: Future[bytes] = Future()
        self._jobs.put((answer, packed))
        if len(self._attendants) < self._at_once:
            attendant = threading.Thread(target=self._attend, daemon=True)
            self._attendants.append(attendant)
            attendant.start()
        return answer

    def dismiss(self) -> None:
        """All is done: let the workers leave in their own way."""
        for _ in self._attendants:
            self._jobs.put(None)
        for attendant in self._attendants:
            attendant.join()

    def end(self) -> None:
        """Stop every worker now, whatever it does."""
        with self._lock:
            self._ended = True
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.join()
        for _ in self._attendants:
            self._jobs.put(None)
        atexit.unregister(self.end)

    def _attend(self) -> None:
        worker: SpawnProcess | None = None
        line: Connection | None = None
        while job := self._jobs.get():
            answer, packed = job
            try:
                if worker is None or line is None:
                    worker, line = self._start()
                line.send_bytes(packed)
                answer.set_result(line.recv_bytes())
            except Exception as gone:  # whatever it is: an answer that nobody gives would be waited for without end
                answer.set_exception(_lost(worker, gone))
                return
        if worker is not None and line is not None:
            line.close()
            worker.join()

    def _start(self) -> tuple[SpawnProcess, Connection]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        worker = context.Process(target=_work, args=(theirs, self._threads))
        with self._lock:
            if self._ended:
                raise EOFError
            worker.start()
            self._workers.append(worker)
        theirs.close()
        return worker, ours


def _lost(worker: SpawnProcess | None, gone: Exception) -> FermionError:
    if worker is None:
        given = f"one that could not be started: {shortened(gone)}"
    else:
        worker.join()
        status = worker.exitcode or 0
        given = f"one that was killed by {signal.Signals(-status).name}" if status < 0 else f"one that left with exit code {status}"
    return FermionError(
        "a worker process",
        rule="there until its task is done",
        given=Told(given),
        remedy="Killed: usually too little memory; use fewer `workers` or say `need.memory`. Gone at its start: in a script the call must "
        'stand under `if __name__ == "__main__":`. The engine `inline` shows what the task itself does.',
    )


def _packed(value: object, subject: str) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:  # pickling runs code of any kind
        remedy = f"{MODULE_LEVEL} ({type(error).__name__}: {error})"
        raise UsageError(subject, rule="sendable to another process", given=value, remedy=remedy) from error


def _work(line: Connection, threads: int) -> None:
    """A worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the caller decides what it means
    for name in THREAD_LIMITS:
        os.environ.setdefault(name, str(threads))
    threading.Thread(target=_end_with_caller, daemon=True).start()
    while True:
        try:
            packed = line.recv_bytes()
        except EOFError:
            return
        line.send_bytes(_answer(packed))


def _end_with_caller() -> None:
    """A caller that was killed cannot stop its workers, and a long task would not notice."""
    if caller := multiprocessing.parent_process():
        caller.join()
        os._exit(1)


def _answer(packed: bytes) -> bytes:
    """(True, result) or (False, error), pickled; an error that would not survive the way is told by one that does."""
    try:
        task, item = pickle.loads(packed)
    except Exception as error:  # unpickling runs code of any kind
        given = Told(f"{type(error).__name__}: {error}")
        return pickle.dumps((False, UsageError("the task and its item", rule="known to another process", given=given, remedy=MODULE_LEVEL)))
    try:
        return _packed((True, task(item)), "the task's result")
    except Exception as error:
        error.add_note("In the worker:\n" + traceback.format_exc())
        return pickle.dumps((False, error if _survives(error) else _retold(error)))


def _survives(error: Exception) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:  # both directions run the foreign error's own code
        return False


def _retold(error: Exception) -> FermionError:
    remedy = "Its own type cannot be sent between processes; the engine `inline` shows it as it is."
    told = FermionError("the task", rule="done without an error", given=Told(shortened(error)), remedy=remedy)
    told.add_note("In the worker:\n" + "".join(traceback.format_exception(error)))
    return told


def _processors() -> int:
    """Those that this process may use, which in a container are fewer than there are."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _memory() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
