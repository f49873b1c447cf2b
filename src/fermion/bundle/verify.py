"""Does a bundle hold what it promises? Checked on its files, its graphs and its golden rows, in a fresh process.

`python -m fermion.bundle.verify PATH` prints the checks as JSON and needs only the base install.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from fermion.bundle import bundle as bundles
from fermion.bundle import manifest as manifests
from fermion.bundle import signing
from fermion.bundle.bundle import Bundle
from fermion.core.errors import BundleError, FermionError, Told

# What tells that an extra of the package is installed.
_EXTRAS = {"media": "PIL"}


class Check(Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


def verify(path: str | Path) -> list[Check]:
    """All checks of a bundle, in this process; the first that fails may leave later ones out.

    Never raises a FermionError: what is wrong is a check that is not ok.
    """
    try:
        bundle = bundles.open(path)
    except FermionError as bad:
        return [Check(name="manifest", ok=False, detail=str(bad))]
    manifest = bundle.manifest
    checks = [Check(name="manifest", ok=True, detail=f"format {manifest.format}, id {bundle.id[:12]}")]
    for name, look in _LOOKS.items():
        try:
            checks.append(Check(name=name, ok=True, detail=look(bundle)))
        except FermionError as bad:
            checks.append(Check(name=name, ok=False, detail=str(bad)))
    return checks


def verify_fresh(path: str | Path) -> list[Check]:
    """The same in a new interpreter, where nothing of this process can help."""
    command = [sys.executable, "-m", "fermion.bundle.verify", str(Path(path).resolve())]
    done = subprocess.run(command, capture_output=True, timeout=600, check=False)
    try:
        return msgspec.json.decode(done.stdout, type=list[Check])
    except msgspec.DecodeError:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return [Check(name="fresh process", ok=False, detail=lines[-1] if lines else f"exit code {done.returncode}")]


def _files(bundle: Bundle) -> str:
    for name in bundle.manifest.files:
        bundle.read(name)
    known = {manifests.NAME, manifests.SIGNATURE, *bundle.manifest.files}
    strangers = [name for name in bundle.files.names() if name not in known]
    if strangers:
        raise BundleError(
            "the files of a bundle", rule="those of its manifest", given=Told(", ".join(strangers[:5])), remedy="Move others beside it."
        )
    total = sum(entry.size for entry in bundle.manifest.files.values())
    return f"{len(bundle.manifest.files)} files, {total / 1e6:.2f} MB, digests right"


def _needs(bundle: Bundle) -> str:
    for extra in bundle.manifest.needs:
        if extra in _EXTRAS and importlib.util.find_spec(_EXTRAS[extra]) is None:
            # Golden rows of images are arrays: a bundle verifies without its decoders, and says what serving wants.
            return f"serving encoded files needs: pip install 'fermion[{extra}]'"
    for package, version in bundle.manifest.packages.items():
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise BundleError(
                f"the package {package}", rule="installed", given=Told("no such package"), remedy=f"Run: pip install '{package}=={version}'"
            ) from None
    return ", ".join((*bundle.manifest.needs, *bundle.manifest.packages)) or "the base install"


def _graphs(bundle: Bundle) -> str:
    bundle.runtime()
    return f"{len(bundle.graphs())} graphs, {len(bundle.manifest.steps)} steps"


def _golden(bundle: Bundle) -> str:
    runtime, golden = bundle.runtime(), bundle.golden()
    if not len(golden):
        raise BundleError("the golden rows", rule="at least one", given=Told("none"))
    batch = golden.batch(runtime.requests)
    together = golden.differences(runtime.arrays(batch))
    alone = [
        golden_row.differences(runtime.arrays({name: values[row : row + 1] for name, values in batch.items()}))
        for row, golden_row in enumerate(golden.rows())
    ]
    worst = 0.0
    for name, expected in golden.outputs.items():
        apart = max(one[name] for one in alone)
        worst = max(worst, apart, 0.0 if expected.batch_dependent else together[name])
    if worst > 1.0:
        raise BundleError(
            "the golden rows", rule="answered within their tolerances", given=Told(f"a difference of {worst:.3g} times the tolerance")
        )
    return f"{len(golden)} rows, largest difference {worst:.2g} of the tolerance"


def _profile(bundle: Bundle) -> str:
    profile = msgspec.json.decode(bundle.read("profile.json"))
    return f"{len(profile.get('inputs', {}))} inputs, {len(profile.get('outputs', {}))} outputs"


def _signature(bundle: Bundle) -> str:
    signature = bundle.signature()
    return "not signed" if signature is None else f"signed by {signing.check(bundle.manifest_bytes(), signature)}"


_LOOKS: dict[str, Callable[[Bundle], str]] = {
    "files": _files,
    "needs": _needs,
    "graphs": _graphs,
    "golden rows": _golden,
    "profile": _profile,
    "signature": _signature,
}

if __name__ == "__main__":
    found = verify(sys.argv[1])
    sys.stdout.buffer.write(msgspec.json.encode(found))
    sys.exit(0 if all(check.ok for check in found) else 1)
