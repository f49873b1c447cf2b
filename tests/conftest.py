"""What all tests share: where real data may lie, and one thread per library so that timings and results repeat."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("FERMION_DATA", str(Path(__file__).resolve().parents[1].parent / "shared" / "data"))


@pytest.fixture
def real_data() -> Path:
    """The folder with real data sets, or a skip that says what is missing."""
    folder = Path(os.environ["FERMION_DATA"])
    if not folder.is_dir():
        pytest.skip(f"no real data: FERMION_DATA is {folder}, which does not exist")
    return folder
