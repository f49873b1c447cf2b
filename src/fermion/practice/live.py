"""The check that matters most: the bundle answers its golden rows through the live server."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fermion.bundle import bundle as bundles
from fermion.bundle.bundle import Bundle
from fermion.bundle.verify import Check, verify_fresh
from fermion.columns.output import Probability, Value, name_of
from fermion.core.errors import BundleError, FermionError, Told

NAME = "http"


def verify_all(path: str | Path) -> list[Check]:
    """Files, graphs and golden rows in a fresh process, then the golden rows through a server of its own."""
    checks = verify_fresh(path)
    if all(check.ok for check in checks):
        checks.append(check_live(bundles.open(path)))
    return checks


def check_live(bundle: Bundle) -> Check:
    """Start the service on a free port, send the golden rows, compare the answers, stop it in the orderly way."""
    try:
        return Check(name=NAME, ok=True, detail=_answers(bundle))
    except FermionError as bad:
        return Check(name=NAME, ok=False, detail=str(bad))


class Live:
    """A server process of a bundle: its URL, the seconds to its first line, and its exit code once it has ended."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, seconds: float) -> None:
        self.process, self.url, self.seconds = process, url, seconds

    @property
    def exit_code(self) -> int | None:
        return self.process.poll()


@contextlib.contextmanager
def started(path: Path) -> Generator[Live]:
    """A server of its own for a bundle, on a free port of this machine; ended with SIGTERM when the block ends.

    Raises:
        BundleError: it does not come up, with the last line that it wrote.
    """
    began = time.monotonic()
    program = (
        "import sys; from fermion.cloud.server import serve; from fermion.core.sections import Serve; serve(sys.argv[1], Serve(port=0))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        line = process.stdout.readline().decode(errors="replace") if process.stdout else ""
        found = re.search(r"http://[^\s/]+", line)
        if found is None:
            process.kill()
            said = process.communicate()[1].decode(errors="replace").strip().splitlines()
            raise BundleError("the server", rule="started", given=Told(said[-1] if said else "no answer"))
        yield Live(process, found[0], time.monotonic() - began)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _answers(bundle: Bundle) -> str:
    golden = bundle.golden()
    with started(bundle.path) as service:
        answered = _post(f"{service.url}/v1/predict", golden.body())
        if answered["bundle"] != bundle.id:
            raise BundleError("the bundle that answers", rule=bundle.id[:12], given=str(answered["bundle"])[:12])
        _compare(bundle, answered["columns"])
    if service.exit_code != 0:
        raise BundleError("the server", rule="ended with exit code 0 after SIGTERM", given=Told(f"exit code {service.exit_code}"))
    return f"{len(golden)} rows answered as promised; ready {service.seconds:.2f} s after the start"


def _post(url: str, body: bytes) -> dict[str, Any]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the machine's own address never goes through a proxy
    try:
        with opener.open(request, timeout=60) as reply:
            return msgspec.json.decode(reply.read(), type=dict[str, Any])
    except (urllib.error.URLError, OSError) as bad:
        said = bad.read().decode(errors="replace") if isinstance(bad, urllib.error.HTTPError) else str(bad)
        raise BundleError("the golden rows", rule="answered with 200", given=Told(said)) from None


def _compare(bundle: Bundle, answers: dict[str, list[Any]]) -> None:
    """Predictions equal, numbers within the golden rows' tolerances."""
    golden, manifest = bundle.golden(), bundle.manifest
    expected = bundle.runtime().decode({name: np.asarray(array, dtype=np.float32) for name, array in golden.arrays().items()})
    several = len(manifest.outputs) > 1
    got: dict[str, NDArray[Any]] = {}
    for output in manifest.outputs:
        if isinstance(output, Probability):
            rows: list[dict[str, float]] = [row[output.target] if several else row for row in answers["probabilities"]]
            got[output.array] = np.array([[row[name_of(label)] for label in output.classes] for row in rows])
        elif isinstance(output, Value):
            values = [row[output.target] if several else row for row in answers["prediction"]]
            got[output.array] = (np.array(values, dtype=np.float64) - output.offset) / output.scale
        else:
            got[output.array] = golden.arrays()[output.array]  # compared as answers instead
            for key in output.answers:
                want, have = ([row[output.target] if several else row for row in said[key]] for said in (expected, answers))
                if not _alike(want, have, golden.outputs[output.array].rtol):
                    raise BundleError(
                        f"the answers over HTTP for `{output.target}`", rule=f"the golden rows' `{key}`", given=Told("others")
                    )
    worst = max(golden.differences(got).values(), default=0.0)
    if worst > 1.0:
        raise BundleError("the answers over HTTP", rule="the golden rows'", given=Told(f"a difference of {worst:.3g} times the tolerance"))
    if (
        not several
        and all(isinstance(output, Probability) for output in manifest.outputs)
        and answers["prediction"] != expected["prediction"]
    ):
        raise BundleError("the predictions over HTTP", rule="the golden rows'", given=Told("others"))


def _alike(want: Any, have: Any, rtol: float) -> bool:
    """Whether two answers are the same but for rounding; labels near their threshold may come and go, so lists of them need not agree."""
    if isinstance(want, dict):
        parts: dict[str, Any] = want  # pyright: ignore[reportUnknownVariableType]
        return isinstance(have, dict) and all(name in have and _alike(one, have[name], rtol) for name, one in parts.items())
    if isinstance(want, list):
        items: list[Any] = want  # pyright: ignore[reportUnknownVariableType]
        if any(isinstance(one, str) for one in items) or (isinstance(have, list) and any(isinstance(one, str) for one in have)):
            return True
        return isinstance(have, list) and len(items) == len(have) and all(map(lambda one, two: _alike(one, two, rtol), items, have))
    if isinstance(want, float | int) and not isinstance(want, bool):
        return isinstance(have, float | int) and bool(np.isclose(have, want, rtol=10 * rtol, atol=10 * rtol * max(1.0, abs(want))))
    return bool(want == have)
