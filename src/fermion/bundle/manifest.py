"""What a bundle says about itself: `manifest.json`, format 1."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
from msgspec import Struct, field

from fermion.bundle.steps import Step
from fermion.columns.output import Decision, Output
from fermion.columns.schema import Schema
from fermion.core.errors import BundleError, FermionError, Told

FORMAT = 1
LARGEST_MANIFEST = 32 * 1024 * 1024
NAME = "manifest.json"
SIGNATURE = "signature"


class File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sha256 (hex) and the size (bytes) of one file of the bundle."""

    sha256: str
    size: int


class Score(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric on the test part, with its 95 % interval and what the baseline scores there. None is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None


class Provenance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a bundle comes from. No time of day: equal work gives an equal bundle."""

    fermion: str
    seed: int = 0
    data: dict[str, Any] = field(default_factory=dict[str, Any])  # source, fingerprint, rows by part
    spec: dict[str, Any] = field(default_factory=dict[str, Any])  # the effective project file and its digest
    code: str | None = None  # the commit, where the project is in a git repository
    libraries: dict[str, str] = field(default_factory=dict[str, str])


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything but the weights. A bundle's id is the sha256 of this file's bytes, and this file holds the digests of the others."""

    name: str
    task: str  # binary, multiclass, regression, or several
    schema: Schema
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    files: dict[str, File]
    decisions: dict[str, Decision] = field(default_factory=dict[str, Decision])
    metrics: dict[str, Score] = field(default_factory=dict[str, Score])
    provenance: Provenance
    needs: tuple[str, ...] = ()  # extras that serving needs, e.g. media
    packages: dict[str, str] = field(default_factory=dict[str, str])  # other packages whose columns it uses, with versions
    licence: str | None = None
    format: int = FORMAT
    reads_from: int = 1  # the oldest reader that understands it

    def encode(self) -> bytes:
        """The bytes of manifest.json: sorted and indented, so that a diff can be read."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1)


class _Header(Struct):
    format: int
    reads_from: int = 1


def identity(data: bytes) -> str:
    """A bundle's id: the sha256 of manifest.json."""
    return hashlib.sha256(data).hexdigest()


def read(data: bytes, where: str) -> Manifest:
    """The manifest from its bytes.

    Raises:
        BundleError: too large, not JSON, too new, or it breaks its own rules.
    """
    if len(data) > LARGEST_MANIFEST:
        raise BundleError("manifest.json", rule=f"at most {LARGEST_MANIFEST} bytes", given=Told(f"{len(data)} bytes"), where=where)
    try:
        header = msgspec.json.decode(data, type=_Header)
        if header.reads_from > FORMAT:
            raise BundleError(
                "the bundle's format",
                rule=f"readable by format {FORMAT}",
                given=Told(f"format {header.format}, which needs a reader of format {header.reads_from}"),
                remedy="Upgrade fermion: pip install -U fermion",
                where=where,
            )
        if header.format > FORMAT:  # a later format that says this reader is enough: what it added is left aside
            raw: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
            known = {name: raw[name] for name in Manifest.__struct_fields__ if name in raw}
            manifest = msgspec.convert(known, Manifest)
        else:
            manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BundleError(
            "manifest.json", rule="a manifest of format 1", given=Told(str(bad)), remedy="Copy the bundle again.", where=where
        ) from None
    except FermionError as bad:
        raise BundleError("manifest.json", rule="a manifest whose parts are known", given=Told(str(bad)), where=where) from None
    for name in manifest.files:
        if not is_inside(name):
            raise BundleError("a file of a bundle", rule="a path inside it", given=name, where=f"{where}: manifest.json")
    return manifest


def is_inside(name: str) -> bool:
    """Whether a file's name is a plain relative path that cannot leave the bundle.

    >>> is_inside("graphs/main.onnx"), is_inside("../x"), is_inside("/etc/passwd"), is_inside("a//b")
    (True, False, False, False)
    """
    return bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*", name)) and name not in (NAME, SIGNATURE)
