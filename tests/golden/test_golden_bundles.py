"""One bundle per release stays here for ever: this version opens, verifies and answers them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

import fermion
from fermion.bundle import bundle as bundles
from fermion.bundle.verify import verify, verify_fresh
from fermion.testing.bundles import failed, same

HERE = Path(__file__).parent
RELEASES = sorted(path.parent.name for path in HERE.glob("*/expected.json"))


class Expected(msgspec.Struct):
    id: str
    request: msgspec.Raw
    answers: dict[str, Any]


def test_this_release_has_its_bundle() -> None:
    assert fermion.__version__ in RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_it_still_opens_verifies_and_answers_the_same(release: str) -> None:
    expected = msgspec.json.decode((HERE / release / "expected.json").read_bytes(), type=Expected)
    bundle = bundles.open(HERE / release / "bundle")
    assert bundle.id == expected.id
    assert failed(verify(bundle.path)) == []
    runtime = bundle.runtime()
    same(runtime.predict(runtime.requests.batch(runtime.requests.decode(bytes(expected.request)))), expected.answers)


def test_in_a_new_process() -> None:
    assert failed(verify_fresh(HERE / RELEASES[-1] / "bundle")) == []


@pytest.mark.parametrize("release", RELEASES)
def test_it_is_small(release: str) -> None:
    assert sum(path.stat().st_size for path in (HERE / release).rglob("*") if path.is_file()) < 40_000
