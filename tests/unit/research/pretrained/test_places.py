"""Where weights lie, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fermion.core.errors import DataError
from fermion.research.pretrained.places import locate


def whole(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"hidden_size": 4}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_folder_is_named_by_its_content(tmp_path: Path) -> None:
    first, second = locate(str(whole(tmp_path / "a"))), locate(str(whole(tmp_path / "b")))
    assert first.digest == second.digest
    assert first.config()["hidden_size"] == 4
    assert first.config("no.json") == {}
    (tmp_path / "b" / "model.safetensors").write_bytes(b"other weights")
    assert locate(str(tmp_path / "b")).digest != first.digest


def test_weights_that_may_hold_code_are_refused(tmp_path: Path) -> None:
    folder = whole(tmp_path / "a")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"weights that hold numbers only .+ got pytorch_model.bin, which may hold code"):
        locate(str(folder))


def test_a_broken_config_is_told(tmp_path: Path) -> None:
    folder = whole(tmp_path / "a")
    (folder / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"must be a whole folder as its authors wrote it, got config.json"):
        locate(str(folder)).config()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./nowhere/at/all", "an existing folder, package://MODULE/PATH, or an id"),
        (
            "package://no_such_module/model",
            "inside a package that is installed, got no module `no_such_module`.+python -c 'import no_such_module'",
        ),
        ("package://json/../../secret", "a file or folder of the package `json`"),
    ],
)
def test_names_that_lead_nowhere(name: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        locate(name)


def test_a_hub_that_is_not_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra `pretrained` is not installed")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"a model that can be fetched from the hub.+Check the name and the network"):
        locate("somebody/some-model")
