from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fermion.bundle.bundle import Bundle
from fermion.columns.category import Category
from fermion.columns.number import Number
from fermion.columns.output import Probability
from fermion.core.errors import BundleError, FermionError
from fermion.testing.handmade import Parts, parts

ROWS: dict[str, list[Any]] = {"age": [20.0, None, 44.5, 61.0], "city": ["Bern", "Rome", "Bern", "Oslo"]}


@pytest.fixture(scope="session")
def rows() -> dict[str, list[Any]]:
    return ROWS


@pytest.fixture(scope="session")
def made() -> Parts:
    return parts({"age": Number(), "city": Category()}, ROWS, {Probability(target="kind"): ["a", "b", "c", "a"]})


@pytest.fixture
def bundle(made: Parts, tmp_path: Path) -> Bundle:
    return made.write(tmp_path / "bundle")


@pytest.fixture
def manifest(bundle: Bundle) -> dict[str, Any]:
    """manifest.json as anyone may alter it."""
    return msgspec.json.decode(bundle.manifest_bytes())


@pytest.fixture(scope="session")
def told() -> Callable[..., AbstractContextManager[None]]:
    """A BundleError with subject, rule, value and remedy, whose message has these words."""

    @contextmanager
    def expecting(*words: str, error: type[FermionError] = BundleError) -> Generator[None]:
        with pytest.raises(error) as caught:
            yield
        assert caught.value.subject
        assert caught.value.rule
        assert caught.value.given
        assert caught.value.remedy
        for word in words:
            assert re.search(re.escape(word), str(caught.value)), f"no `{word}` in: {caught.value}"

    return expecting
