"""What a bundle says about itself: `manifest.json`, format 1."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from fermion.bundle.steps import Onnx, Step, check_parts
from fermion.columns.assets import LARGEST
from fermion.columns.output import Decision, Output
from fermion.columns.schema import Schema
from fermion.core.errors import BundleError, FermionError, Told

FORMAT = 1
LARGEST_MANIFEST = 32 * 1024 * 1024
NAME = "manifest.json"
SIGNATURE = "signature"
COPY_AGAIN = "Copy the bundle again from where it was made, or run `fermion run`."


class File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sha256 (hex) and the size (bytes) of one file of the bundle."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, Meta(ge=0)]


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
    format: Annotated[int, Meta(ge=1)]
    reads_from: Annotated[int, Meta(ge=1)] = 1


def identity(data: bytes) -> str:
    """A bundle's id: the sha256 of manifest.json."""
    return hashlib.sha256(data).hexdigest()


def read(data: bytes, where: str) -> Manifest:
    """The manifest from its bytes. Nothing else is opened.

    A later format that says `reads_from: 1` adds fields at the top only, which this reader leaves aside.

    Raises:
        BundleError: too large, not JSON, too new, or it breaks its own rules.
    """
    if len(data) > LARGEST_MANIFEST:
        raise too_large(len(data), where)
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
        if header.format > FORMAT:
            raw: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
            manifest = msgspec.convert({name: raw[name] for name in Manifest.__struct_fields__ if name in raw}, Manifest)
        else:
            manifest = msgspec.json.decode(data, type=Manifest)
        _check_columns(manifest)
        check_parts(manifest.schema, manifest.steps, manifest.outputs, manifest.decisions)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BundleError("manifest.json", rule="a manifest of format 1", given=Told(str(bad)), remedy=COPY_AGAIN, where=where) from None
    except BundleError as bad:
        raise _placed(bad, where, bad.remedy) from None
    except FermionError as bad:  # a column type that nobody here knows
        strange = "It comes from a package that is not installed, or from a later fermion."
        raise _placed(bad, where, _what_to_install(data) or bad.remedy or strange) from None
    check_paths(manifest.files, where)
    for step in manifest.steps:
        if isinstance(step, Onnx) and graph_file(step.graph) not in manifest.files:
            raise BundleError("a graph that a step names", rule="in the bundle", given=step.graph, remedy=COPY_AGAIN, where=where)
    _check_assets(manifest, where)
    return manifest


def graph_file(name: str) -> str:
    """The file of a graph.

    >>> graph_file("model")
    'graphs/model.onnx'
    """
    return f"graphs/{name}.onnx"


def too_large(size: int, where: str) -> BundleError:
    """The one error about a manifest that is not worth reading."""
    rule, remedy = f"at most {LARGEST_MANIFEST} bytes", "Keep fewer levels in its categories (`most`), and large values in assets."
    return BundleError("manifest.json", rule=rule, given=Told(f"{size} bytes"), remedy=remedy, where=where)


def missing_packages(packages: Mapping[str, str]) -> list[str]:
    """Those packages of a bundle that are not installed here, as pip wants them."""
    found: list[str] = []
    for package, version in packages.items():
        try:
            importlib.metadata.version(package)
        except (importlib.metadata.PackageNotFoundError, ValueError):
            found.append(package if version == "unknown" else f"{package}=={version}")
    return found


def _check_columns(manifest: Manifest) -> None:
    for one in manifest.schema.fields:
        if one.column is None or isinstance(one.column, str | int | float | list):
            raise BundleError(f"the column `{one.name}`", rule="an object with its `type`", given=one.column, remedy=COPY_AGAIN)


def _check_assets(manifest: Manifest, where: str) -> None:
    """What a column names is in the bundle, with the same digest."""
    for asset in manifest.schema.assets:
        file = manifest.files.get(asset.path)
        if file is None or file.sha256 != asset.sha256:
            given = Told(f"{asset.path}, which is {'not there' if file is None else 'another file'}")
            rule = "in the bundle, with the digest that the column holds"
            raise BundleError("an asset that a column names", rule=rule, given=given, remedy=COPY_AGAIN, where=where)
        if file.size > LARGEST:
            given, remedy = Told(f"{asset.path} of {file.size} bytes"), "Do not use this bundle; columns need no files that large."
            raise BundleError("an asset", rule=f"at most {LARGEST} bytes", given=given, remedy=remedy, where=where)


def _what_to_install(data: bytes) -> str:
    """The remedy for a column that nobody here knows: the packages that the manifest says it needs."""

    class Needing(Struct):
        packages: dict[str, str] = {}

    try:
        missing = missing_packages(msgspec.json.decode(data, type=Needing).packages)
    except msgspec.DecodeError:
        return ""
    return f"The bundle needs {', '.join(missing)}. Run: pip install {' '.join(repr(one) for one in missing)}" if missing else ""


def _placed(bad: FermionError, where: str, remedy: str) -> BundleError:
    place = bad.where if bad.where.startswith(where) else f"{where}: {bad.where}" if bad.where else where
    return BundleError(bad.subject, rule=bad.rule, given=Told(bad.given), remedy=remedy, where=place)


def check_paths(names: Iterable[str], where: str) -> None:
    """Make sure that files can lie in one folder on every system.

    Raises:
        BundleError: a path that leaves the folder, two that differ in capitals only, a file that is also a folder.
    """
    place = f"{where}: manifest.json"
    seen: dict[str, str] = {}
    for name in names:
        if not is_inside(name):
            rule = "a plain path inside it: letters, digits, `.`, `_`, `-`, with `/` between folders"
            raise BundleError(
                "a file of a bundle", rule=rule, given=name, remedy="Do not use this bundle; rename the file if you made it.", where=place
            )
        if (other := seen.setdefault(name.lower(), name)) != name:
            rule = f"different from {other} by more than capitals, which not every disk tells apart"
            raise BundleError("a file of a bundle", rule=rule, given=name, remedy="Rename one of them.", where=place)
    for name in names:
        parts = name.lower().split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in seen:
                raise BundleError("a folder of a bundle", rule="no file as well", given=name, remedy="Rename one of them.", where=place)


def is_inside(name: str) -> bool:
    """Whether a file's name is a plain relative path that cannot leave the bundle.

    >>> is_inside("graphs/main.onnx"), is_inside("../x"), is_inside("/etc/passwd"), is_inside("a//b")
    (True, False, False, False)
    """
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*", name)
    return bool(plain) and name.lower() not in (NAME, SIGNATURE)
