"""What every bundle promises, as tests. Third parties run them over their own:

class TestMine(BundleContract):
    def make(self, folder: Path) -> Path:
        return train_and_save(folder)

    rows = {"age": [31.0, None], "city": ["Bern", "Oslo"]}
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.bundle import bundle as bundles
from fermion.bundle import manifest as manifests
from fermion.bundle.bundle import Bundle
from fermion.bundle.verify import Check, verify, verify_fresh
from fermion.columns.column import Arrays, Values
from fermion.core.errors import BundleError, DataError
from fermion.core.store import Folder

HEAVY = ("torch", "polars", "pandas", "sklearn", "lightgbm", "PIL", "onnx", "pickle5", "cloudpickle")

# Opened twice: the second time everything is imported, so that whatever is then opened, compiled or imported belongs to the bundle.
FRESH = f"""
import sys
import msgspec
from fermion.bundle import bundle

path, body = sys.argv[1], sys.stdin.buffer.read()

def answer():
    runtime = bundle.open(path).runtime()
    return runtime.predict(runtime.requests.batch(runtime.requests.decode(body)))

answer()
seen, watching = [], True

def watch(event, details):
    if watching and event.split(".")[0] in ("open", "exec", "compile", "import", "marshal", "pickle", "subprocess", "socket", "ctypes"):
        seen.append([event, str(details[0]) if details else ""])

sys.addaudithook(watch)
answers = answer()
watching = False
heavy = [name for name in {HEAVY!r} if name in sys.modules]
sys.stdout.buffer.write(msgspec.json.encode({{"answers": answers, "heavy": heavy, "seen": seen}}))
"""


class BundleContract:
    """Say in `make` how to get a bundle, a folder, and in `rows` some raw values as its users hold them: two rows at least."""

    rows: Mapping[str, Values] = {}

    def make(self, folder: Path) -> Path:
        raise NotImplementedError

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Bundle:
        return bundles.open(self.make(tmp_path / "made"))

    def test_a_new_process_verifies_it(self, bundle: Bundle) -> None:
        assert failed(verify_fresh(bundle.path)) == []

    def test_a_new_process_answers_the_same_and_reads_nothing_else(self, bundle: Bundle) -> None:
        """Only numpy, msgspec and ONNX Runtime are imported; no code runs and no file outside the bundle is opened."""
        command = [sys.executable, "-P", "-c", FRESH, str(bundle.path)]
        done = subprocess.run(command, input=body(bundle, self.rows), capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        found: dict[str, Any] = msgspec.json.decode(done.stdout)
        assert found["heavy"] == []
        wanted = [name for name in bundle.manifest.files if name.startswith(("graphs/", "assets/"))]
        opened = [str(bundle.path / name) for name in ("manifest.json", *wanted)]
        assert sorted(place for event, place in found["seen"] if event == "open") == sorted(opened)  # each once
        assert {event for event, _ in found["seen"]} == {"open"}
        here = bundle.runtime().predict(self.rows)
        same(found["answers"], msgspec.json.decode(msgspec.json.encode(here)))

    def test_golden_rows_reproduce_alone_and_together(self, bundle: Bundle) -> None:
        runtime, golden = bundle.runtime(), bundle.golden()
        together = golden.differences(runtime.arrays(golden.batch(runtime.requests)))
        for name, expected in golden.outputs.items():
            assert expected.batch_dependent or together[name] <= 1
        for row in golden.rows():
            assert max(row.differences(runtime.arrays(row.batch(runtime.requests))).values()) <= 1

    def test_rows_do_not_see_each_other(self, bundle: Bundle) -> None:
        if any(expected.batch_dependent for expected in bundle.golden().outputs.values()):
            pytest.skip("it says that its rows see each other")
        runtime = bundle.runtime()
        whole = runtime.arrays(self.rows)
        backwards = runtime.arrays({name: list(values)[::-1] for name, values in self.rows.items()})
        close({name: array[::-1] for name, array in backwards.items()}, whole)
        for row in range(count(self.rows)):
            alone = runtime.arrays(take(self.rows, row))
            close(alone, {name: array[row : row + 1] for name, array in whole.items()})

    def test_json_and_python_values_mean_the_same(self, bundle: Bundle) -> None:
        runtime = bundle.runtime()
        sent = runtime.requests.batch(runtime.requests.decode(body(bundle, self.rows)))
        close(runtime.arrays(sent), runtime.arrays(self.rows))

    def test_answers_are_lists_in_the_order_of_the_rows(self, bundle: Bundle) -> None:
        runtime = bundle.runtime()
        for rows in (self.rows, {name: values[:0] for name, values in self.rows.items()}):
            answers = runtime.predict(rows)
            assert {type(values) for values in answers.values()} == {list}
            assert {len(values) for values in answers.values()} == {count(rows)}

    def test_a_column_that_is_not_there_is_told(self, bundle: Bundle) -> None:
        gone = bundle.manifest.schema.names[0]
        with pytest.raises(DataError, match=f"`{gone}` must be in the data"):
            bundle.runtime().predict({name: values for name, values in self.rows.items() if name != gone})

    def test_a_column_too_many_is_left_aside(self, bundle: Bundle) -> None:
        runtime = bundle.runtime()
        assert runtime.predict({**self.rows, "one too many": [object()]}) == runtime.predict(self.rows)

    def test_threads_share_a_runtime(self, bundle: Bundle) -> None:
        runtime = bundle.runtime()
        want = runtime.predict(self.rows)
        with ThreadPoolExecutor(4) as pool:
            assert all(answers == want for answers in pool.map(lambda _: runtime.predict(self.rows), range(32)))

    def test_folder_zip_store_folder(self, bundle: Bundle, tmp_path: Path) -> None:
        zipped = bundles.open(bundle.save_zip(tmp_path / "bundle.zip"))
        store = Folder(tmp_path / "store")
        back = bundles.pull(store, zipped.push(store), tmp_path / "back")
        assert back.id == zipped.id == bundle.id
        assert tree(back.path) == tree(bundle.path)
        assert zipped.runtime().predict(self.rows) == back.runtime().predict(self.rows) == bundle.runtime().predict(self.rows)
        assert failed(verify(zipped.path)) == []
        assert bundle.save_zip(tmp_path / "again.zip").read_bytes() == (tmp_path / "bundle.zip").read_bytes()

    def test_using_it_changes_nothing(self, bundle: Bundle, tmp_path: Path) -> None:
        copy = tmp_path / "read only, with ünïcode" / "a bundle"
        shutil.copytree(bundle.path, copy)
        for path in [*copy.rglob("*"), copy]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            opened = bundles.open(str(copy))
            assert opened.id == bundle.id
            assert opened.runtime().predict(self.rows) == bundle.runtime().predict(self.rows)
            assert failed(verify(copy)) == []
            assert tree(copy) == tree(bundle.path)
        finally:
            for path in [copy, *copy.rglob("*")]:
                path.chmod(0o755)

    def test_every_flipped_byte_is_caught(self, bundle: Bundle, tmp_path: Path) -> None:
        """In a file of the manifest by its digest; in the manifest itself because it no longer is the same bundle."""
        for name, data in tree(bundle.path).items():
            for at in sorted({0, len(data) // 3, len(data) // 2, len(data) - 1}):
                broken = bytes([*data[:at], data[at] ^ 0x01, *data[at + 1 :]])
                assert_caught(bundle, altered(bundle, tmp_path / "altered", name, broken))

    def test_every_cut_and_every_missing_file_is_caught(self, bundle: Bundle, tmp_path: Path) -> None:
        for name, data in tree(bundle.path).items():
            for left in (None, b"", data[: len(data) // 2], data[:-1], data + b"\n"):
                assert_caught(bundle, altered(bundle, tmp_path / "altered", name, left))

    def test_the_assets_of_its_columns_are_in_it(self, bundle: Bundle) -> None:
        """What columns need is in the bundle, under the digest that they name; a manifest without is refused."""
        for asset in bundle.manifest.schema.assets:
            assert bundle.manifest.files[asset.path].sha256 == asset.sha256
            assert bundle.read(asset.path) == asset.read()
            stray = {name: file for name, file in bundle.manifest.files.items() if name != asset.path}
            with pytest.raises(BundleError, match=r"an asset that a column names must be in the bundle, .* which is not there"):
                manifests.read(msgspec.structs.replace(bundle.manifest, files=stray).encode(), "here")
            other = {**stray, asset.path: msgspec.structs.replace(bundle.manifest.files[asset.path], sha256="0" * 64)}
            with pytest.raises(BundleError, match=r"an asset that a column names must be .* which is another file"):
                manifests.read(msgspec.structs.replace(bundle.manifest, files=other).encode(), "here")

    def test_a_file_too_many_is_told_and_harmless(self, bundle: Bundle, tmp_path: Path) -> None:
        stranger = altered(bundle, tmp_path / "altered", "evil.py", b"raise SystemExit")
        assert bundles.open(stranger).runtime().predict(self.rows) == bundle.runtime().predict(self.rows)
        (check,) = failed(verify(stranger))
        assert check.name == "files"
        assert "evil.py" in check.detail


def failed(checks: list[Check]) -> list[Check]:
    """The checks that do not hold."""
    return [check for check in checks if not check.ok]


def count(rows: Mapping[str, Values]) -> int:
    """How many rows."""
    return len(next(iter(rows.values())))


def take(rows: Mapping[str, Values], row: int) -> dict[str, Any]:
    """One row."""
    return {name: values[row : row + 1] for name, values in rows.items()}


def body(bundle: Bundle, rows: Mapping[str, Values]) -> bytes:
    """Raw values as the body of a request."""
    fields = bundle.manifest.schema.fields
    return msgspec.json.encode({"columns": {field.name: [field.column.plain(value) for value in rows[field.name]] for field in fields}})


def close(got: Arrays, want: Arrays) -> None:
    """Equal names, shapes and numbers to 1e-5."""
    assert set(got) == set(want)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=1e-5, err_msg=name)


def same(got: Any, want: Any) -> None:
    """Equal JSON values, numbers to 1e-5."""
    if isinstance(want, dict):
        assert set(got) == set(want)
        for name in want:
            same(got[name], want[name])
    elif isinstance(want, list):
        for one, other in zip(got, want, strict=True):
            same(one, other)
    elif isinstance(want, float):
        assert got == pytest.approx(want, rel=1e-5, abs=1e-5)
    else:
        assert got == want


def tree(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def altered(bundle: Bundle, folder: Path, name: str, data: bytes | None) -> Path:
    """A copy of a bundle with one file exchanged, or left out where there is no data."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle.path, folder, copy_function=os.link)  # the files stay the same, so that large ones cost nothing
    path = folder / name
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)
    return folder


def assert_caught(bundle: Bundle, path: Path) -> None:
    """It does not open, is another bundle, or fails on reading its files; and never with anything but a BundleError."""
    try:
        opened = bundles.open(path)
        if opened.id != bundle.id:
            return
        for name in opened.manifest.files:
            opened.read(name)
    except BundleError as told:
        if not (told.rule and told.given and told.remedy):
            raise AssertionError(f"an error without rule, value or remedy: {told}") from told
    else:
        raise AssertionError("nothing noticed")
