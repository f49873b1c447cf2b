"""The artefact: a folder or zip that never executes code on load and needs neither torch nor pickle."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from fermion.bundle import golden as golden_rows
from fermion.bundle import manifest as manifests
from fermion.bundle import profile as profiles
from fermion.bundle.files import LARGEST_RATIO, Files, FolderFiles, ZipFiles
from fermion.bundle.golden import Golden
from fermion.bundle.manifest import COPY_AGAIN, File, Manifest, graph_file
from fermion.bundle.placing import in_turn, place, replacing
from fermion.bundle.runtime import Runtime
from fermion.columns import assets as held
from fermion.core.errors import BundleError, Told
from fermion.core.store import ANY, Store


class Bundle:
    """A bundle that was opened: its manifest is read, every file's size and digest is checked before it is parsed.

    The assets of its columns are read at once, so that the schema can encode.

    Made by `open`; `write` makes a new one.
    """

    def __init__(self, path: Path, files: Files) -> None:
        self.path, self.files = path, files
        where = str(path)
        size = files.size(manifests.NAME)
        if size is None:
            remedy = "Give the path that `fermion run` printed."
            raise BundleError("a bundle", rule="a folder or zip with manifest.json", given=where, remedy=remedy)
        if size > manifests.LARGEST_MANIFEST:
            raise manifests.too_large(size, where)
        self._manifest = files.read(manifests.NAME, manifests.LARGEST_MANIFEST)
        self.manifest = manifests.read(self._manifest, where)
        self.id = manifests.identity(self._manifest)
        for asset in self.manifest.schema.assets:
            held.put(self.read(asset.path))

    def read(self, name: str) -> bytes:
        """One file, whole and as it was written.

        Raises:
            BundleError: it is missing, has another size or other bytes.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            remedy = "Its manifest lists what there is."
            raise BundleError("a file of the bundle", rule="named in its manifest", given=name, remedy=remedy, where=str(self.path))
        size = self.files.size(name)
        if size is None:
            raise BundleError(f"the file {name}", rule="in the bundle", given=Told("no such file"), remedy=COPY_AGAIN, where=str(self.path))
        if size == entry.size:
            data = self.files.read(name, entry.size)
            if hashlib.sha256(data).hexdigest() == entry.sha256:
                return data
            given = Told("other bytes of the same size")
        else:
            given = Told(f"{size} bytes")
        raise BundleError(
            f"the file {name}",
            rule=f"the {entry.size} bytes whose digest the manifest holds",
            given=given,
            remedy=COPY_AGAIN,
            where=str(self.path),
        )

    def graphs(self) -> dict[str, bytes]:
        """The ONNX graphs by name."""
        return dict(_Graphs(self))

    def runtime(self, *, threads: int = 1) -> Runtime:
        """What answers rows. Checks the digest of every graph first; one graph at a time is in memory as bytes."""
        manifest = self.manifest
        return Runtime(
            schema=manifest.schema,
            steps=manifest.steps,
            graphs=_Graphs(self),
            outputs=manifest.outputs,
            decisions=manifest.decisions,
            threads=threads,
        )

    def golden(self) -> Golden:
        """The golden rows."""
        return golden_rows.read(self.read(golden_rows.NAME), self.manifest.schema, self.manifest.outputs)

    def _repr_html_(self) -> str:
        """For notebooks: what it takes, what it answers, how good it was."""
        from fermion.measure import snippet

        manifest = self.manifest
        pairs = {
            "id": self.id[:16],
            "takes": ", ".join(f"{field.name} ({field.kinds[-1]})" for field in manifest.schema.fields[:24]),
            "answers": ", ".join(f"{output.target} ({output.__struct_config__.tag})" for output in manifest.outputs),
            "size": f"{sum(file.size for file in manifest.files.values()) / 1e6:,.2f} MB in {len(manifest.files)} files",
            "place": str(self.path),
        }
        scores = [(name, one.value, one.low, one.high, one.baseline) for name, one in manifest.metrics.items()]
        return snippet.box(f"Bundle {manifest.name}", manifest.task, snippet.facts(pairs), snippet.scores(scores))

    def signature(self) -> bytes | None:
        """The signature file, if there is one."""
        size = self.files.size(manifests.SIGNATURE)
        return None if size is None else self.files.read(manifests.SIGNATURE, 4096)

    def manifest_bytes(self) -> bytes:
        """manifest.json as it lies there."""
        return self._manifest

    def push(self, store: Store) -> str:
        """Put every file into a store, one blob per file; returns the bundle's id, under which the manifest lies.

        A signature, which no digest of the bundle covers, is found again by the tag `signature/ID`.
        """
        for name in self.manifest.files:
            store.put(self.read(name))
        identity, signature = store.put(self._manifest), self.signature()
        if signature is not None:
            store.tag(f"signature/{identity}", store.put(signature), expected=ANY)
        return identity

    def save_zip(self, target: Path) -> Path:
        """The same bundle as one zip with its signature, byte for byte the same for the same bundle (and the same zlib).

        Raises:
            BundleError: a file is damaged, or the disk is full; a zip that was there is as before.
        """
        with replacing(target) as scratch, zipfile.ZipFile(scratch, "w") as archive:
            for name in [manifests.NAME, *sorted(self.manifest.files)]:
                _add(archive, name, self._manifest if name == manifests.NAME else self.read(name))
            if (signature := self.signature()) is not None:
                _add(archive, manifests.SIGNATURE, signature)
        return target


class _Graphs(Mapping[str, bytes]):
    """The graphs of a bundle, each read when it is asked for."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        inside = [name for name in bundle.manifest.files if name.startswith("graphs/") and name.endswith(".onnx")]
        self._names = [name.removeprefix("graphs/").removesuffix(".onnx") for name in inside]

    def __getitem__(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        return self._bundle.read(graph_file(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def open(path: str | Path) -> Bundle:
    """A bundle from a folder or a zip. No code of it runs, and nothing outside it is read.

    Raises:
        BundleError: it is none, is newer than this reader, or breaks its own rules.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return Bundle(path, FolderFiles(path))
        if path.is_file():
            return Bundle(path, ZipFiles(path))
    except OSError as bad:
        remedy = "Check the path and its permissions."
        raise BundleError("a bundle", rule="readable", given=Told(f"{path} ({bad.strerror or bad})"), remedy=remedy) from None
    raise BundleError("a bundle", rule="an existing folder or zip", given=str(path), remedy="`fermion runs` lists what there is.")


def write(
    folder: Path | Callable[[str], Path],
    manifest: Manifest,
    *,
    graphs: Mapping[str, bytes],
    golden: Golden,
    profile: bytes,
    assets: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle so that either all of it is there or nothing: into a new folder beside, which is then renamed.

    `folder` may be a function of the bundle's id. `manifest.files` is filled in, `needs` completed, and the files of the columns join
    `assets`, which are others by name. An equal bundle that is
    already there is left alone, another is replaced.

    Raises:
        BundleError: a part breaks the rules of the format, the disk is full, or something that is no bundle is in the way; nothing
            has changed.
    """
    contents = {graph_file(name): data for name, data in graphs.items()}
    contents |= {f"{held.FOLDER}/{name}": data for name, data in (assets or {}).items()}
    contents |= {asset.path: asset.read() for asset in manifest.schema.assets}
    contents |= {golden_rows.NAME: msgspec.json.encode(golden), profiles.NAME: profile}
    files = {name: File(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in contents.items()}
    needs = tuple(sorted({*manifest.needs, *manifest.schema.needs}))
    whole = msgspec.structs.replace(manifest, files=files, needs=needs).encode()
    manifests.read(whole, "the new bundle")  # what cannot be opened is not written
    golden_rows.read(contents[golden_rows.NAME], manifest.schema, manifest.outputs)
    place_at = folder if isinstance(folder, Path) else folder(manifests.identity(whole))
    return _place(place_at, {**contents, manifests.NAME: whole})


def pull(store: Store, identity: str, folder: Path) -> Bundle:
    """A bundle out of a store, by its id, into a folder.

    Raises:
        StoreError: the store does not have it whole.
        BundleError: as for `write`.
    """
    data = store.get(identity)
    manifest = manifests.read(data, f"store {identity[:12]}")
    contents = {name: store.get(entry.sha256) for name, entry in manifest.files.items()}
    signature = store.resolve(f"signature/{identity}")
    if signature is not None:
        contents[manifests.SIGNATURE] = store.get(signature)
    return _place(folder, {**contents, manifests.NAME: data})


def _place(folder: Path, contents: Mapping[str, bytes]) -> Bundle:
    with in_turn(folder):
        place(folder, contents, marker=manifests.NAME, equal=lambda: _is_whole(folder, contents))
        return open(folder)


def _is_whole(folder: Path, contents: Mapping[str, bytes]) -> bool:
    """Whether the folder holds this bundle with every file intact; a signature may have joined it since."""
    there = FolderFiles(folder)
    try:
        return all(there.size(name) == len(data) and there.read(name, len(data)) == data for name, data in contents.items())
    except (BundleError, OSError):
        return False


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """One entry. Weights that are all alike shrink so far that a reader must take them for a bomb: such a file is stored as it is."""
    info = zipfile.ZipInfo(name)
    small = len(data) < 1 << 20 or len(zlib.compress(data, 1)) * LARGEST_RATIO > 2 * len(data)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED, 0o644 << 16
    archive.writestr(info, data)
