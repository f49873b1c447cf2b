"""The check that matters most: the bundle answers its golden rows through the live server."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fermion.bundle import bundle as bundles
from fermion.bundle.bundle import Bundle
from fermion.bundle.verify import Check, verify_fresh
from fermion.cloud.client import Client
from fermion.cloud.server import started
from fermion.columns.output import Probability, name_of
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


def _answers(bundle: Bundle) -> str:
    golden = bundle.golden()
    with started(bundle.path) as service, Client(service.url) as client:
        answered = client.send(golden.body())
        if answered["bundle"] != bundle.id:
            raise BundleError("the bundle that answers", rule=bundle.id[:12], given=str(answered["bundle"])[:12])
        _compare(bundle, answered["columns"])
    if service.exit_code != 0:
        raise BundleError("the server", rule="ended with exit code 0 after SIGTERM", given=Told(f"exit code {service.exit_code}"))
    return f"{len(golden)} rows answered as promised; first answer {service.seconds:.2f} s after the start"


def _compare(bundle: Bundle, answers: dict[str, list[object]]) -> None:
    """Predictions equal, numbers within the golden rows' tolerances."""
    golden, manifest = bundle.golden(), bundle.manifest
    expected = bundle.runtime().decode({name: np.asarray(array, dtype=np.float32) for name, array in golden.arrays().items()})
    several = len(manifest.outputs) > 1
    got: dict[str, np.ndarray] = {}
    for output in manifest.outputs:
        if isinstance(output, Probability):
            rows: list[dict[str, float]] = [row[output.target] if several else row for row in answers["probabilities"]]  # type: ignore[index,misc]
            got[output.array] = np.array([[row[name_of(label)] for label in output.classes] for row in rows])
        else:
            values = [row[output.target] if several else row for row in answers["prediction"]]  # type: ignore[index]
            got[output.array] = (np.array(values, dtype=np.float64) - output.offset) / output.scale
    worst = max(golden.differences(got).values(), default=0.0)
    if worst > 1.0:
        raise BundleError("the answers over HTTP", rule="the golden rows'", given=Told(f"a difference of {worst:.3g} times the tolerance"))
    if (
        not several
        and all(isinstance(output, Probability) for output in manifest.outputs)
        and answers["prediction"] != expected["prediction"]
    ):
        raise BundleError("the predictions over HTTP", rule="the golden rows'", given=Told("others"))
