from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fermion.core import registry
from fermion.core.errors import SpecError, UsageError


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that holds installed packages, as pip would leave them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._parts.cache_clear()
    yield tmp_path
    registry._parts.cache_clear()


def install(folder: Path, package: str, *, group: str, entry: str, code: str = "") -> None:
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fermion.{group}]\n{entry}\n")
    if code:
        (folder / f"{package}.py").write_text(code)


def test_the_parts_of_the_package_are_known() -> None:
    assert {"number", "category", "flag", "time", "image"} <= set(registry.names("columns"))
    assert {"baseline", "linear", "trees", "mlp", "cnn"} <= set(registry.names("models"))
    assert {"inline", "processes"} <= set(registry.names("engines"))


def test_a_group_without_parts_is_empty() -> None:
    assert registry.names("nothing") == ()


@pytest.mark.parametrize("group", ["columns", "engines"])
def test_every_part_is_tagged_with_its_name(group: str) -> None:
    for name in registry.names(group):
        assert registry.find(group, name).__struct_config__.tag == name


def test_a_plugin_is_found_once_installed(plugins: Path) -> None:
    install(plugins, "fermion_money", group="columns", entry="money = fermion_money:Money", code="class Money: ...\n")
    assert "money" in registry.names("columns")
    assert registry.find("columns", "money").__name__ == "Money"


def test_a_name_that_is_not_there_says_what_is() -> None:
    with pytest.raises(SpecError) as raised:
        registry.find("columns", "nubmer", where="fermion.yaml:3:7")
    known = ", ".join(registry.names("columns"))
    assert str(raised.value) == f"fermion.yaml:3:7: the column type must be one of {known}, got 'nubmer'. Did you mean `number`?"


@pytest.mark.parametrize(("entry", "says"), [("odd = fermion_gone:Odd", "No module named"), ("odd = fermion.core.errors:Odd", "Odd")])
def test_a_plugin_that_cannot_be_imported_names_its_package(plugins: Path, entry: str, says: str) -> None:
    install(plugins, "fermion_odd", group="models", entry=entry)
    with pytest.raises(SpecError, match=r"the model `odd` of fermion_odd must be importable, got .*Repair or remove fermion_odd") as raised:
        registry.find("models", "odd")
    assert says in str(raised.value)


def test_two_packages_cannot_take_one_name(plugins: Path) -> None:
    install(plugins, "fermion_one", group="columns", entry="money = fermion_one:Money")
    install(plugins, "fermion_two", group="columns", entry="money = fermion_two:Money")
    with pytest.raises(UsageError, match=r"the name `money` in fermion.columns must be registered once, got .*Uninstall one of the two"):
        registry.names("columns")


def test_one_package_found_twice_is_one_package(plugins: Path) -> None:
    install(plugins, "fermion_one", group="columns", entry="money = fermion_one:Money")
    install(plugins, "fermion_two", group="columns", entry="money = fermion_one:Money")
    assert "money" in registry.names("columns")


def test_an_article_fits_its_word() -> None:
    assert registry.called("engines") == "an engine"
    assert registry.called("models") == "a model"
