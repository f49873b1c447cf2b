"""Where the weights of a backbone lie: a folder, a folder inside an installed package, or a name on a hub of models."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from msgspec import Struct

from fermion.core import hub, packaged
from fermion.core.errors import DataError, Told

LARGEST_CONFIG = 10_000_000  # bytes of a JSON file that is read
WEIGHTS = (".safetensors", ".pth", ".onnx")  # formats that hold numbers and run no code


class Place(Struct, frozen=True, kw_only=True):
    """A backbone on this disk. `digest` names its files by content: what was computed with them is kept under it."""

    name: str
    folder: Path
    digest: str

    def config(self, file: str = "config.json") -> dict[str, Any]:
        """One of its JSON files, {} where there is none.

        Raises:
            DataError: it is not JSON, or no object.
        """
        path = self.folder / file
        if not path.is_file():
            return {}
        try:
            if path.stat().st_size > LARGEST_CONFIG:
                raise ValueError(f"{path.stat().st_size} bytes")
            found: Any = json.loads(path.read_bytes())
            if not isinstance(found, dict):
                raise TypeError(f"a {type(found).__name__}")
        except (ValueError, TypeError) as bad:
            raise corrupt(self.name, f"{file}: {bad}") from None
        return dict[str, Any](found)


def locate(name: str) -> Place:
    """The folder that a name leads to.

    Args:
        name: a path, `package://MODULE/PATH` for files inside an installed package, or an id such as `owner/model`, which is
            downloaded once by the `transformers` library.

    Raises:
        DataError: there is no such folder or package, it has no weights, or they are in a format that can hold code.
    """
    if name.startswith(packaged.PREFIX):
        folder = packaged.inside(name, subject=f"the backbone `{name}`")
    else:
        folder = Path(name).expanduser()
        if not folder.exists():
            folder = _from_hub(name)
    if folder.is_file():
        folder = folder.parent
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (*WEIGHTS, ".json"))
    if not any(path.suffix in WEIGHTS for path in files):
        pickled = next((path.name for path in folder.rglob("*") if path.suffix in (".bin", ".pkl", ".ckpt")), None)
        raise DataError(
            f"the backbone `{name}`",
            rule=f"a folder with weights that hold numbers only ({', '.join(WEIGHTS)})",
            given=Told(f"{pickled}, which may hold code" if pickled else "no such file"),
            remedy="Save it again with `model.save_pretrained(folder)`, which writes model.safetensors.",
        )
    whole = hashlib.sha256()
    for path in files:
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return Place(name=name, folder=folder, digest=whole.hexdigest())


def corrupt(name: str, why: object) -> DataError:
    """The one error about a backbone whose files cannot be read."""
    said = str(why).strip().splitlines() or ["unreadable"]
    return DataError(
        f"the backbone `{name}`",
        rule="a whole folder as its authors wrote it",
        given=Told(said[0][:200].rstrip(".")),
        remedy="Fetch or save it again, and compare its files with their digests.",
    )


def _from_hub(name: str) -> Path:
    if not hub.is_id(name):
        raise DataError(
            f"the backbone `{name}`",
            rule="an existing folder, package://MODULE/PATH, or an id such as owner/model",
            given=Told("no such folder"),
            remedy="Paths are those of the folder that `fermion` runs in, or absolute.",
        )
    return hub.fetched(name, ["*.safetensors", "*.json", "*.txt"], subject=f"the backbone `{name}`")
