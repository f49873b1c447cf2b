from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fermion.core import imported
from fermion.core.errors import SpecError


def write(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_a_name_of_the_folder_is_imported_and_the_path_is_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, my_first="import my_helper\n\nclass Net:\n    def size(self):\n        return my_helper.SIZE\n", my_helper="SIZE = 3\n")
    before = list(sys.path)
    assert imported.load("my_first:Net", tmp_path)().size() == 3
    assert imported.load("my_first:Net.size", tmp_path).__name__ == "size"
    assert sys.path == before
    assert not (tmp_path / "__pycache__").exists()


def test_a_changed_module_is_imported_again_with_what_it_imports(tmp_path: Path) -> None:
    write(tmp_path, my_second="from my_other import SIZE\n", my_other="SIZE = 1\n")
    assert imported.load("my_second:SIZE", tmp_path) == 1
    before = imported.digests({"module": "my_second:SIZE"}, tmp_path)
    write(tmp_path, my_other="SIZE = 2\n")
    assert imported.load("my_second:SIZE", tmp_path) == 2
    assert set(before) == {"my_second.py", "my_other.py"}
    assert imported.digests({"module": "my_second:SIZE"}, tmp_path)["my_other.py"] != before["my_other.py"]


def test_what_did_not_change_stays_the_same_object(tmp_path: Path) -> None:
    write(tmp_path, my_base="class Base: ...\n", my_left="from my_base import Base\n", my_right="from my_base import Base\n")
    assert imported.load("my_left:Base", tmp_path) is imported.load("my_right:Base", tmp_path) is imported.load("my_left:Base", tmp_path)


def test_two_projects_may_have_modules_of_one_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, my_same=f"NAME = {name!r}\n")
    assert [imported.load("my_same:NAME", tmp_path / name) for name in ("one", "two", "one")] == ["one", "two", "one"]


def test_packages_and_relative_imports(tmp_path: Path) -> None:
    package = tmp_path / "my_package"
    package.mkdir()
    write(package, __init__="", nets="from .sizes import SIZE\n", sizes="SIZE = 5\n")
    assert imported.load("my_package.nets:SIZE", tmp_path) == 5
    assert set(imported.digests(["my_package.nets:SIZE"], tmp_path)) == {f"my_package/{name}.py" for name in ("__init__", "nets", "sizes")}


def test_files_that_a_section_names_count_and_others_do_not(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"1")
    assert list(imported.digests({"path": "model.onnx", "note": "no file", "lines": "a\nb", "size": 3}, tmp_path)) == ["model.onnx"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("my_net.Net", "", "must be written as `module:name`"),
        ("my_absent:Net", "", "Did you mean `my_bad`?|Write my_absent.py beside the project file"),
        ("my_bad:Nett", "class Net: ...\n", "must be a name that the module has, got no `Nett`. Did you mean `Net`?"),
        ("my_bad:Net", "class Net:\n    def f(self:\n", r"my_bad.py:2:\d+: the module `my_bad` must be valid Python"),
        (
            "my_bad:Net",
            "import no_such_package\n",
            "my_bad.py:1: .* got an import of `no_such_package`.* Install the package",
        ),
        ("my_bad:Net", "x = 1\ny = x / 0\n", "my_bad.py:2: the module `my_bad` must be imported without an error, got ZeroDivisionError"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    write(tmp_path, my_bad=text)
    with pytest.raises(SpecError, match=told):
        imported.load(name, tmp_path)


def test_a_module_named_like_an_installed_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path, json="x = 1\n")
    with pytest.raises(SpecError, match=r"named otherwise than what is installed.*Rename it, for example to my_json"):
        imported.load("json:x", tmp_path)


def test_what_a_function_of_the_user_raises_has_its_line(tmp_path: Path) -> None:
    write(tmp_path, my_calls="def make(size):\n    return [1, 2][size]\n")
    make = imported.load("my_calls:make", tmp_path)
    assert imported.call(make, name="my_calls:make", size=1) == 2
    with pytest.raises(SpecError, match=r"my_calls.py:2: `my_calls:make` must be called without an error, got IndexError: list index"):
        imported.call(make, 5, name="my_calls:make")
    with pytest.raises(SpecError, match=r"got TypeError: .*unexpected keyword argument 'width'"):
        imported.call(make, name="my_calls:make", width=5)
