from __future__ import annotations

import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from fermion.core.engine import Processes, Resources
from fermion.core.errors import FermionError, UsageError

TWO = Processes(workers=2)


def test_a_worker_is_another_process_with_limited_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert list(TWO.map(eval, ["__import__('os').getpid()"])) != [os.getpid()]
    assert list(TWO.map(os.getenv, ["OMP_NUM_THREADS"], need=Resources(cpus=1.5))) == ["2"]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert list(TWO.map(os.getenv, ["OMP_NUM_THREADS"])) == ["7"]


def test_tasks_run_at_the_same_time(tmp_path: Path) -> None:
    """Two tasks that wait for each other's file: one after the other, neither would end."""
    meet = f"""
import os, time
os.chdir({str(tmp_path)!r})
open("MINE", "w").close()
while not os.path.exists("OTHER"):
    time.sleep(0.01)
"""
    list(TWO.map(exec, [meet.replace("MINE", "a").replace("OTHER", "b"), meet.replace("MINE", "b").replace("OTHER", "a")]))


def test_a_killed_worker_is_told_and_hangs_nothing() -> None:
    results = TWO.map(signal.raise_signal, [signal.SIGURG, signal.SIGKILL])  # the first one is ignored by default
    next(results)
    with pytest.raises(FermionError, match=r"^a worker process must be there .* killed by SIGKILL\. .*fewer `workers`"):
        next(results)
    with pytest.raises(FermionError, match="left with exit code 3"):
        list(TWO.map(sys.exit, [3]))


@pytest.mark.parametrize("task", [lambda x: x, threading.Lock().acquire])
def test_a_task_that_cannot_be_sent_is_refused_at_the_call(task: object) -> None:
    with pytest.raises(UsageError, match=r"^the task must be sendable to another process, got .* top level of a module"):
        TWO.map(task, [1])  # type: ignore[arg-type]


def test_an_item_or_a_result_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^the item must be sendable"):
        list(TWO.map(str, [threading.Lock()]))
    with pytest.raises(UsageError, match=r"^the task's result must be sendable"):
        list(TWO.map(eval, ["lambda: 0"]))


def test_a_task_that_the_worker_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a notebook: there is a module here that a new process cannot import."""
    unknown = type(sys)("typed_into_a_shell")
    exec("def task(x): return x", unknown.__dict__)
    monkeypatch.setitem(sys.modules, "typed_into_a_shell", unknown)
    with pytest.raises(UsageError, match=r"known to another process, got ModuleNotFoundError: .*typed_into_a_shell.* top level"):
        list(TWO.map(unknown.task, [1]))


def test_an_error_that_cannot_travel_is_retold() -> None:
    with pytest.raises(FermionError, match=r"^the task must be done without an error, got Local\('a reason'") as caught:
        list(TWO.map(exec, ["class Local(Exception): pass\nraise Local('a reason')"]))
    assert "Local: a reason" in caught.value.__notes__[0]


def test_an_error_shows_where_in_the_worker_it_came_from() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(TWO.map(eval, ["1 / 0"]))
    assert caught.value.__notes__[0].startswith("In the worker:\nTraceback")


def test_large_values_and_an_early_stop_in_the_middle_of_them() -> None:
    results = TWO.map(bytes, itertools.repeat(20_000_000))
    assert len(next(results)) == 20_000_000
    began = time.monotonic()
    del results
    assert time.monotonic() - began < 5


def test_an_early_stop_ends_running_tasks(tmp_path: Path) -> None:
    results = TWO.map(exec, itertools.chain(["0"], itertools.repeat(_mark(tmp_path, seconds=60))))
    next(results)
    _until(lambda: any(tmp_path.iterdir()))
    del results
    assert all(not _alive(int(mark.name)) for mark in tmp_path.iterdir())


def test_workers_end_with_a_caller_that_was_killed(tmp_path: Path) -> None:
    caller = _script(tmp_path, f"list(Processes(workers=2).map(exec, [{_mark(tmp_path / 'marks', seconds=60)!r}] * 4))")
    (tmp_path / "marks").mkdir()
    process = subprocess.Popen([sys.executable, caller])
    _until(lambda: len(list((tmp_path / "marks").iterdir())) == 2)
    process.kill()
    process.wait()
    _until(lambda: all(not _alive(int(mark.name)) for mark in (tmp_path / "marks").iterdir()))


def test_ctrl_c_is_the_callers_alone(tmp_path: Path) -> None:
    caller = _script(
        tmp_path,
        "import signal",
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell begins with Ctrl-C ignored",
        f"try: list(Processes(workers=1).map(exec, [{_mark(tmp_path / 'marks', seconds=60)!r}]))",
        "except KeyboardInterrupt: print('stopped')",
    )
    (tmp_path / "marks").mkdir()
    process = subprocess.Popen([sys.executable, caller], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    _until(lambda: any((tmp_path / "marks").iterdir()))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the caller and its workers
    assert process.communicate(timeout=30) == ("stopped\n", "")


def test_an_iterator_that_is_still_held_does_not_keep_python_from_exiting(tmp_path: Path) -> None:
    caller = _script(
        tmp_path, "import time, itertools", "held = Processes(workers=1).map(time.sleep, itertools.chain([0], [60] * 9))", "next(held)"
    )
    assert subprocess.run([sys.executable, caller], timeout=30).returncode == 0


def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text("from fermion.core.engine import Processes\nprint(list(Processes(workers=1).map(abs, [-1])))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert 'under `if __name__ == "__main__":`' in done.stderr


def test_needs_are_checked_and_met() -> None:
    with pytest.raises(UsageError, match=r"^need.gpus must be 0 for the engine `processes`, got 1\. .*`inline`"):
        TWO.map(abs, [1], need=Resources(gpus=1))
    with pytest.raises(UsageError, match=r"^need.memory must be at most this machine's \d+ bytes"):
        TWO.map(abs, [1], need=Resources(memory=1 << 60))
    assert list(TWO.map(abs, [-1], need=Resources(cpus=64))) == [1]
    for bad in ({"cpus": 0}, {"cpus": float("nan")}, {"gpus": -1}, {"memory": 0}):
        with pytest.raises(UsageError, match=r"^need\."):
            Resources(**bad)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^workers must be 1 or more, got 0"):
        Processes(workers=0)


def test_engines_are_values() -> None:
    assert msgspec.convert({"type": "processes", "workers": 2}, Processes) == TWO
    assert pickle.loads(pickle.dumps(TWO)) == TWO


def _mark(folder: Path, *, seconds: float) -> str:
    """Source of a task that leaves its process id as a file's name and then takes its time."""
    return f"import os, time; open(os.path.join({str(folder)!r}, str(os.getpid())), 'w').close(); time.sleep({seconds})"


def _script(folder: Path, *lines: str) -> Path:
    path = folder / "caller.py"
    body = "\n".join(f"    {line}" for line in lines)
    path.write_text(f"from fermion.core.engine import Processes\nif __name__ == '__main__':\n{body}\n")
    return path


def _until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
