"""The artefact: a folder or zip that never executes code on load and needs neither torch nor pickle."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from fermion.bundle import golden as golden_rows
from fermion.bundle import manifest as manifests
from fermion.bundle.golden import Golden
from fermion.bundle.manifest import File, Manifest
from fermion.bundle.runtime import Runtime
from fermion.core.errors import BundleError, Told
from fermion.core.store import Store

COPY_AGAIN = "Copy the bundle again from where it was made, or run `fermion run`."


class Files(Protocol):
    """Where the files of a bundle lie: a folder or a zip."""

    def names(self) -> list[str]:
        """All files, manifest.json among them."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes, or None where there is no such file."""
        ...

    def read(self, name: str, most: int) -> bytes:
        """The file, at most `most` bytes of it."""
        ...


class Bundle:
    """A bundle that was opened: its manifest is read, every file's size and digest is checked before it is parsed.

    Made by `open`; `write` makes a new one.
    """

    def __init__(self, path: Path, files: Files) -> None:
        self.path, self.files = path, files
        where = str(path)
        size = files.size(manifests.NAME)
        if size is None:
            raise BundleError(
                "a bundle", rule="a folder or zip with manifest.json", given=where, remedy="Give the path that `fermion run` printed."
            )
        if size > manifests.LARGEST_MANIFEST:
            raise BundleError("manifest.json", rule=f"at most {manifests.LARGEST_MANIFEST} bytes", given=Told(f"{size} bytes"), where=where)
        self._manifest = files.read(manifests.NAME, manifests.LARGEST_MANIFEST)
        self.manifest = manifests.read(self._manifest, where)
        self.id = manifests.identity(self._manifest)

    def read(self, name: str) -> bytes:
        """One file, whole and as it was written.

        Raises:
            BundleError: it is missing, has another size or other bytes.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError("a file of the bundle", rule="named in its manifest", given=name, where=str(self.path))
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
        return {
            name.removeprefix("graphs/").removesuffix(".onnx"): self.read(name)
            for name in self.manifest.files
            if name.startswith("graphs/")
        }

    def runtime(self, *, threads: int = 1) -> Runtime:
        """What answers rows. Checks the digest of every graph first."""
        manifest = self.manifest
        return Runtime(
            schema=manifest.schema,
            steps=manifest.steps,
            graphs=self.graphs(),
            outputs=manifest.outputs,
            decisions=manifest.decisions,
            threads=threads,
        )

    def golden(self) -> Golden:
        """The golden rows."""
        return golden_rows.read(self.read(golden_rows.NAME), self.manifest.schema)

    def signature(self) -> bytes | None:
        """The signature file, if there is one."""
        size = self.files.size(manifests.SIGNATURE)
        return None if size is None else self.files.read(manifests.SIGNATURE, 4096)

    def manifest_bytes(self) -> bytes:
        """manifest.json as it lies there."""
        return self._manifest

    def push(self, store: Store) -> str:
        """Put every file into a store, one blob per file; returns the bundle's id, under which the manifest lies."""
        for name in self.manifest.files:
            store.put(self.read(name))
        return store.put(self._manifest)

    def save_zip(self, target: Path) -> Path:
        """The same bundle as one zip, byte for byte the same for the same bundle."""
        with replacing(target) as scratch, zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in [manifests.NAME, *sorted(self.manifest.files)]:
                info = zipfile.ZipInfo(name)
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(info, self._manifest if name == manifests.NAME else self.read(name))
        return target


def open(path: str | Path) -> Bundle:
    """A bundle from a folder or a zip.

    Raises:
        BundleError: it is none, is newer than this reader, or breaks its own rules.
    """
    path = Path(path)
    if path.is_dir():
        return Bundle(path, _Folder(path))
    if path.is_file():
        try:
            return Bundle(path, _Zip(path))
        except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as bad:
            raise BundleError("a bundle", rule="a folder or a whole zip", given=Told(f"{path} ({bad})"), remedy=COPY_AGAIN) from None
    raise BundleError("a bundle", rule="an existing folder or zip", given=str(path), remedy="`fermion runs` lists what there is.")


def write(
    folder: Path,
    manifest: Manifest,
    *,
    graphs: Mapping[str, bytes],
    golden: Golden,
    profile: bytes,
    assets: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle so that either all of it is there or nothing: into a new folder beside, which is then renamed.

    `manifest.files` is filled in. An equal bundle that is already there is left alone.
    """
    contents = {f"graphs/{name}.onnx": data for name, data in graphs.items()}
    contents |= {f"assets/{name}": data for name, data in (assets or {}).items()}
    contents |= {golden_rows.NAME: msgspec.json.encode(golden), "profile.json": profile}
    files = {name: File(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in sorted(contents.items())}
    contents[manifests.NAME] = msgspec.structs.replace(manifest, files=files).encode()
    return _place(folder, contents)


def pull(store: Store, identity: str, folder: Path) -> Bundle:
    """A bundle out of a store, by its id, into a folder.

    Raises:
        StoreError: the store does not have it whole.
    """
    data = store.get(identity)
    manifest = manifests.read(data, f"store {identity[:12]}")
    contents = {name: store.get(entry.sha256) for name, entry in manifest.files.items()}
    return _place(folder, {**contents, manifests.NAME: data})


def _place(folder: Path, contents: Mapping[str, bytes]) -> Bundle:
    """Files -> a folder that appears whole, manifest.json written last."""
    scratch: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for name, data in contents.items():
            target = scratch / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
        scratch.chmod(0o755)
        if folder.exists():
            with contextlib.suppress(BundleError):  # a broken one is replaced
                if open(folder).id == manifests.identity(contents[manifests.NAME]):
                    return open(folder)
            retired = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
            os.replace(folder, retired / folder.name)
            os.replace(scratch, folder)
            shutil.rmtree(retired, ignore_errors=True)
        else:
            os.replace(scratch, folder)
    except OSError as failed:
        raise BundleError(
            "the bundle's folder", rule="writable, with room for it", given=Told(f"{folder} ({failed.strerror})"), remedy="Free some space."
        ) from None
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    return open(folder)


@contextlib.contextmanager
def replacing(target: Path) -> Generator[Path]:
    """A scratch file beside `target` that replaces it when the block ends well, and is gone when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    os.close(handle)
    scratch = Path(name)
    try:
        yield scratch
        scratch.chmod(0o644)
        os.replace(scratch, target)
    except OSError as failed:
        raise BundleError("a file", rule="writable, with room for it", given=Told(f"{target} ({failed.strerror})")) from None
    finally:
        scratch.unlink(missing_ok=True)


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self._root).as_posix()) for path in self._root.rglob("*") if path.is_file())

    def size(self, name: str) -> int | None:
        path = self._path(name)
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str, most: int) -> bytes:
        with self._path(name).open("rb") as file:
            return file.read(most + 1)

    def _path(self, name: str) -> Path:
        path = self._root / name
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise BundleError(
                "a file of a bundle", rule="inside it", given=Told(f"{name}, a link that leaves the folder"), where=str(self._root)
            )
        return path


class _Zip:
    """Entries are read only as far as their declared size, so that a bomb never unfolds."""

    def __init__(self, path: Path) -> None:
        self._path, self._archive = path, zipfile.ZipFile(path)
        infos = [info for info in self._archive.infolist() if not info.is_dir()]
        self._infos = {info.filename: info for info in infos}
        if len(self._infos) != len(infos):
            raise BundleError("a zip", rule="made of entries with different names", given=str(path))
        for info in infos:
            if info.file_size > 10_000_000 and info.file_size > 200 * max(info.compress_size, 1):
                raise BundleError(
                    "an entry of a zip",
                    rule="at most 200 times its compressed size",
                    given=Told(f"{info.filename}: {info.compress_size} bytes that unfold to {info.file_size}"),
                    remedy="Unpack it yourself if you trust it.",
                    where=str(path),
                )

    def names(self) -> list[str]:
        return sorted(self._infos)

    def size(self, name: str) -> int | None:
        info = self._infos.get(name)
        return None if info is None else info.file_size

    def read(self, name: str, most: int) -> bytes:
        try:
            with self._archive.open(self._infos[name]) as entry:
                return entry.read(most + 1)
        except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as bad:
            raise BundleError(
                f"the entry {name}", rule="readable", given=Told(str(bad)), remedy=COPY_AGAIN, where=str(self._path)
            ) from None
