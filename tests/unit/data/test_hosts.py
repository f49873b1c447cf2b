from __future__ import annotations

from pathlib import Path

import pytest

from fermion.core.errors import DataError, SpecError
from fermion.data.sources import read


def test_a_missing_credential_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    client = pytest.importorskip("kaggle.api.kaggle_api_extended").KaggleApi
    monkeypatch.setattr(client, "config", str(tmp_path / "kaggle.json"))
    monkeypatch.setattr(client, "config_values", {})
    capsys.readouterr()
    with pytest.raises(DataError, match="on Kaggle with a credential, got kaggle://ann/rows without a credential") as told:
        read("kaggle://ann/rows", folder=tmp_path)
    for what in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME and KAGGLE_KEY", "~/.kaggle/access_token", "~/.kaggle/kaggle.json"):
        assert what in told.value.remedy
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("source", ["kaggle://ann", "kaggle://ann/../rows", "kaggle://ann/rows/../../x.csv", "openml://iris", "openml://"])
def test_addresses(source: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"kaggle://owner/dataset|openml:// and the number of a data set"):
        read(source, folder=tmp_path)
