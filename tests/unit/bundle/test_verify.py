from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fermion.bundle import verify as verification
from fermion.bundle.bundle import Bundle
from fermion.bundle.golden import Expected
from fermion.bundle.verify import verify, verify_fresh
from fermion.testing.bundles import failed

NAMES = ["manifest", "files", "needs", "graphs", "golden rows", "profile", "signature"]


def rewritten(bundle: Bundle, name: str, data: bytes, **changes: Any) -> Path:
    """The bundle with another file and a manifest that agrees with it: what someone writes who knows the format."""
    (bundle.path / name).write_bytes(data)
    manifest: Any = msgspec.json.decode(bundle.manifest_bytes())
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    (bundle.path / "manifest.json").write_bytes(msgspec.json.encode(manifest | changes))
    return bundle.path


def test_a_good_bundle(bundle: Bundle) -> None:
    checks = verify(bundle.path)
    assert [check.name for check in checks] == NAMES
    assert failed(checks) == []
    assert all(check.detail for check in checks)
    assert verify_fresh(bundle.path) == checks


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    (check,) = verify_fresh(tmp_path / "nothing")
    assert (check.name, check.ok) == ("manifest", False)
    assert "a bundle must be an existing folder or zip" in check.detail


def test_answers_that_changed(bundle: Bundle) -> None:
    golden = bundle.golden()
    values = golden.outputs["probabilities:kind"].values
    values[2][0] += 0.01
    shifted = msgspec.structs.replace(golden, outputs={"probabilities:kind": Expected(values=values)})
    (check,) = failed(verify(rewritten(bundle, "golden.json", msgspec.json.encode(shifted))))
    assert check.name == "golden rows"
    assert "the golden rows must be answered within their tolerances, alone and together, got a difference of" in check.detail


def test_a_damaged_graph_fails_its_own_checks_and_no_others(bundle: Bundle) -> None:
    (bundle.path / "graphs" / "model.onnx").write_bytes(b"damaged")
    assert [check.name for check in failed(verify(bundle.path))] == ["files", "graphs", "golden rows"]


def test_a_graph_with_weights_elsewhere(bundle: Bundle) -> None:
    (check, _) = failed(verify(rewritten(bundle, "graphs/model.onnx", b"\x3a\x08\x2a\x06\x6a\x02\x0a\x00\x70\x01")))
    assert "the graph `model` must be one file with its weights inside" in check.detail


@pytest.mark.parametrize("data", [b"", b"[]", b'{"inputs": {}, "outputs": {}}', b'{"inputs": {"age": {"kind": "exec"}}, "outputs": {}}'])
def test_a_profile_that_is_none(bundle: Bundle, data: bytes) -> None:
    (check,) = failed(verify(rewritten(bundle, "profile.json", data)))
    assert check.name == "profile"
    assert "profile.json must be" in check.detail


def test_a_package_that_is_not_installed(bundle: Bundle) -> None:
    path = rewritten(
        bundle, "profile.json", bundle.read("profile.json"), packages={"fermion-chemistry": "2.1", "numpy": "2"}, needs=["media"]
    )
    (check,) = failed(verify(path))
    assert check.detail.endswith("installed, got no fermion-chemistry==2.1. Run: pip install 'fermion-chemistry==2.1'")


def test_a_new_process_that_dies_or_hangs(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def died(*args: Any, **kwargs: Any) -> Any:
        return subprocess.CompletedProcess(args, -11, b"", b"")

    def hung(*args: Any, **kwargs: Any) -> Any:
        raise subprocess.TimeoutExpired("python", 600)

    for run, words in ((died, "exit code -11"), (hung, "no answer within 600 s")):
        monkeypatch.setattr(verification.subprocess, "run", run)
        (check,) = verify_fresh(bundle.path)
        assert (check.name, check.ok, check.detail) == ("fresh process", False, words)


def test_the_working_directory_is_not_imported(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert failed(verify_fresh("bundle")) == []


def test_as_a_command(bundle: Bundle) -> None:
    command = [sys.executable, "-m", "fermion.bundle.verify"]
    good = subprocess.run([*command, str(bundle.path)], capture_output=True, check=False)
    assert (good.returncode, good.stderr) == (0, b"")
    (bundle.path / "golden.json").unlink()
    assert subprocess.run([*command, str(bundle.path)], capture_output=True, check=False).returncode == 1


def test_an_extra_that_is_not_installed(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification.importlib.util, "find_spec", lambda name: None)
    checks = verify(rewritten(bundle, "profile.json", bundle.read("profile.json"), needs=["media", "text"]))
    assert [check.name for check in checks] == ["manifest", "files", "needs"]  # nothing later could be told from it
    assert (
        checks[-1].detail
        == "what its columns read with must be installed, got no `PIL`, `tokenizers`. Run: pip install 'fermion[media,text]'"
    )
    assert verification.exit_code(checks) == 2
    decoders = verify(rewritten(bundle, "profile.json", bundle.read("profile.json"), needs=["media"]))
    assert failed(decoders) == []  # golden rows of pictures are arrays
    assert "serving files needs: pip install 'fermion[media]'" in [check.detail for check in decoders]
