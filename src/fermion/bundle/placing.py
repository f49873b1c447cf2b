"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from fermion.core.errors import BundleError, Told
from fermion.core.store import sync

_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def place(folder: Path, contents: Mapping[str, bytes], *, marker: str, equal: Callable[[], bool]) -> None:
    """Write files by name into a new folder beside, the last one last, then rename it to `folder`.

    A folder that is there is replaced if it holds the file `marker` or nothing; it is left alone where `equal` says that it is the same.
    Several processes may do this at once: one of their folders stays, whole.

    Raises:
        BundleError: the disk cannot take it, or what is there is something else. What was there is as before.
    """
    scratch: Path | None = None
    folder = Path(os.path.abspath(folder))  # "." has no name to put another beside
    with _telling(folder):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            if _is_ours(folder, marker) and equal():
                return
            scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name[:80]}-", dir=folder.parent))
            for name, data in contents.items():
                target = scratch / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as out:
                    out.write(data)
                    out.flush()
                    os.fsync(out.fileno())
            scratch.chmod(0o755)
            while not _moved(scratch, folder):
                if _is_ours(folder, marker) and equal():
                    return
            sync(folder.parent)
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def in_turn(folder: Path) -> Generator[None]:
    """Writers into the same parent folder one after another; a killed writer's turn ends with it. Without locks where there are none."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder.parent, os.O_RDONLY)
    except OSError:
        yield  # what is wrong with the folder is told by the writing itself
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(target: Path) -> Generator[Path]:
    """A scratch file beside `target` that replaces it when the block ends well, and is gone when it does not.

    Raises:
        BundleError: the disk cannot take it. What was there is as before.
    """
    scratch: Path | None = None
    with _telling(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{target.name[:80]}-", dir=target.parent)
            os.close(handle)
            scratch = Path(name)
            yield scratch
            scratch.chmod(0o644)
            sync(scratch)
            os.replace(scratch, target)
        finally:
            if scratch is not None:
                scratch.unlink(missing_ok=True)


def _is_ours(folder: Path, marker: str) -> bool:
    """Whether a bundle is there. Anything else but an empty folder is not ours to replace."""
    if (folder / marker).is_file():
        return True
    if not (folder.exists() or folder.is_symlink()) or (folder.is_dir() and not any(folder.iterdir())):
        return False
    remedy = "Choose another place, or move it away."
    raise BundleError("the bundle's folder", rule="new, empty or a bundle", given=Told(f"{folder}, which is something else"), remedy=remedy)


def _moved(scratch: Path, folder: Path) -> bool:
    """Rename scratch to folder, setting aside what is there; False where another writer came between: look again."""
    aside: Path | None = None
    try:
        os.rename(scratch, folder)  # also over an empty folder
        return True
    except OSError as failed:
        if failed.errno not in _OCCUPIED:
            raise
    try:
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name[:80]}-old-", dir=folder.parent))
        try:
            os.rename(folder, aside / "old")
            os.rename(scratch, folder)
        except FileNotFoundError:  # another writer set it aside just now
            return False
        except OSError as failed:
            if failed.errno in _OCCUPIED:  # another writer's is there by now
                return False
            os.rename(aside / "old", folder)
            raise
        return True
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _telling(place: Path) -> Generator[None]:
    """What the operating system refuses, in the words of a BundleError."""
    try:
        yield
    except OSError as failed:
        full = failed.errno in _FULL
        raise BundleError(
            f"the disk that holds {place}" if full else str(place),
            rule="able to take what is written" if full else "a place that can be written",
            given=Told(failed.strerror or str(failed)),
            remedy=("Free some space" if full else "Check the path and its permissions") + "; what was there is as before.",
        ) from failed
