"""Does a bundle hold what it promises? Checked on its files, its graphs and its golden rows, in a fresh process.

`python -m fermion.bundle.verify PATH` prints the checks as JSON and needs only the base install.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from fermion.bundle import bundle as bundles
from fermion.bundle import manifest as manifests
from fermion.bundle import profile as profiles
from fermion.bundle import signing
from fermion.bundle.bundle import Bundle
from fermion.bundle.profile import Profile
from fermion.core.errors import BundleError, FermionError, MissingExtra, Told

# What tells that an extra of the package is installed.
_EXTRAS = {"media": "PIL", "text": "tokenizers"}
# Golden rows of pictures and sounds are arrays: such a bundle verifies without its decoders, and says what serving files wants.
_DECODERS = ("media",)
_PATIENCE = 600


class Check(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was looked at. `lacks` says that it is this install that lacks something, so nothing is known of the bundle."""

    name: str
    ok: bool
    detail: str
    lacks: bool = False


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
        except MissingExtra as missing:  # nothing that comes later could be told from it
            checks.append(Check(name=name, ok=False, detail=str(missing), lacks=True))
            break
        except FermionError as bad:
            checks.append(Check(name=name, ok=False, detail=str(bad)))
    return checks


def verify_fresh(path: str | Path) -> list[Check]:
    """The same in a new interpreter, where nothing of this process can help."""
    # -P: a numpy.py in the working directory must not be taken for numpy.
    command = [sys.executable, "-P", "-m", "fermion.bundle.verify", str(Path(path).absolute())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return [Check(name="fresh process", ok=False, detail=f"no answer within {_PATIENCE} s")]
    try:
        return msgspec.json.decode(done.stdout, type=list[Check])
    except msgspec.DecodeError:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return [Check(name="fresh process", ok=False, detail=lines[-1] if lines else f"exit code {done.returncode}")]


def exit_code(checks: Sequence[Check]) -> int:
    """0 where all hold, 2 where this install lacks what it takes to tell, 1 otherwise.

    >>> exit_code([Check(name="files", ok=True, detail=""), Check(name="needs", ok=False, detail="", lacks=True)])
    2
    """
    failed = [check for check in checks if not check.ok]
    return (2 if all(check.lacks for check in failed) else 1) if failed else 0


def _files(bundle: Bundle) -> str:
    for name in bundle.manifest.files:
        bundle.read(name)
    known = {manifests.NAME, manifests.SIGNATURE, *bundle.manifest.files}
    strangers = [name for name in bundle.files.names() if name not in known]
    if strangers:
        remedy = "Move others beside it, or write the bundle again."
        raise BundleError("the files of a bundle", rule="those of its manifest", given=Told(", ".join(strangers[:5])), remedy=remedy)
    total = sum(entry.size for entry in bundle.manifest.files.values())
    return f"{len(bundle.manifest.files)} files, {total / 1e6:.2f} MB, digests right"


def _needs(bundle: Bundle) -> str:
    manifest = bundle.manifest
    undeclared = set(manifest.schema.needs) - set(manifest.needs)
    if undeclared:
        remedy = "Write the bundle again."
        raise BundleError("the extras that its columns need", rule="declared in `needs`", given=sorted(undeclared), remedy=remedy)
    if missing := manifests.missing_packages(manifest.packages):
        remedy = f"Run: pip install {' '.join(repr(one) for one in missing)}"
        raise MissingExtra("the packages of its columns", rule="installed", given=Told(f"no {', '.join(missing)}"), remedy=remedy)
    absent = [extra for extra in manifest.needs if extra in _EXTRAS and importlib.util.find_spec(_EXTRAS[extra]) is None]
    install = f"pip install 'fermion[{','.join(absent)}]'"
    if set(absent) - set(_DECODERS):
        packages = ", ".join(f"`{_EXTRAS[extra]}`" for extra in absent)
        raise MissingExtra("what its columns read with", rule="installed", given=Told(f"no {packages}"), remedy=f"Run: {install}")
    if absent:
        return f"serving files needs: {install}"
    return ", ".join((*manifest.needs, *manifest.packages)) or "the base install"


def _graphs(bundle: Bundle) -> str:
    bundle.runtime()
    return f"{sum(name.startswith('graphs/') for name in bundle.manifest.files)} graphs, {len(bundle.manifest.steps)} steps"


def _golden(bundle: Bundle) -> str:
    runtime, golden = bundle.runtime(), bundle.golden()
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
        given = Told(f"a difference of {worst:.3g} times the tolerance")
        remedy = "Compare the versions of onnxruntime here and in the manifest's provenance; `atol` and `rtol` stand in golden.json."
        raise BundleError("the golden rows", rule="answered within their tolerances, alone and together", given=given, remedy=remedy)
    return f"{len(golden)} rows, largest difference {worst:.2g} of the tolerance"


def _profile(bundle: Bundle) -> str:
    try:
        profile = msgspec.json.decode(bundle.read(profiles.NAME), type=Profile)
    except msgspec.DecodeError as bad:
        raise BundleError(profiles.NAME, rule="sketches by name", given=Told(str(bad)), remedy=manifests.COPY_AGAIN) from None
    if not set(bundle.manifest.schema.names) <= set(profile.inputs):
        rule = f"about every input: {', '.join(bundle.manifest.schema.names[:12])}"
        raise BundleError(profiles.NAME, rule=rule, given=sorted(profile.inputs), remedy="Write the bundle again.")
    return f"{len(profile.inputs)} inputs, {len(profile.outputs)} outputs"


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
    sys.exit(exit_code(found))
