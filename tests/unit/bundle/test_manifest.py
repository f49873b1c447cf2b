from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from fermion.bundle import manifest as manifests
from fermion.bundle.bundle import Bundle
from fermion.bundle.manifest import Manifest


def read(raw: Any) -> Manifest:
    return manifests.read(raw if isinstance(raw, bytes) else msgspec.json.encode(raw), "here")


def test_equal_content_gives_equal_bytes(bundle: Bundle) -> None:
    manifest = bundle.manifest
    backwards = dict(reversed(list(manifest.files.items())))
    assert msgspec.structs.replace(manifest, files=backwards).encode() == manifest.encode() == bundle.manifest_bytes()
    assert read(manifest.encode()) == manifest


def test_floats_and_text_survive(bundle: Bundle) -> None:
    odd = msgspec.structs.replace(bundle.manifest, name="ünï 名 \u2028", licence="Apache-2.0")
    odd.provenance.data["x"] = [0.1, 1e300, 5e-324, -0.0, 2**53 + 1]
    assert read(odd.encode()) == odd
    assert math.copysign(1, read(odd.encode()).provenance.data["x"][3]) == -1


@pytest.mark.parametrize("cut", [0, 1, 100, -2])
def test_truncated(told: Any, bundle: Bundle, cut: int) -> None:
    with told("manifest.json must be a manifest of format 1", "here", "Copy the bundle again"):
        read(bundle.manifest_bytes()[:cut])


@pytest.mark.parametrize("data", [b"null", b"[]", b'"text"', b"{}", b"\xff\xfe", b"[" * 200_000, b"{" * 5, b'{"format": 1, "a": NaN}'])
def test_no_manifest(told: Any, data: bytes) -> None:
    with told("manifest.json must be a manifest of format 1"):
        read(data)


def test_too_large(told: Any) -> None:
    with told("manifest.json must be at most 33554432 bytes, got 33554433 bytes"):
        read(b" " * (manifests.LARGEST_MANIFEST + 1))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("name", 3, "Expected `str`, got `int` - at `$.name`"),
        ("format", "1", "Expected `int`, got `str`"),
        ("format", 0, "Expected `int` >= 1"),
        ("reads_from", -1, "Expected `int` >= 1"),
        ("surprise", 1, "unknown field `surprise`"),
        ("files/golden.json/extra", 1, "unknown field `extra` - at `$.files[...]`"),
        ("files/golden.json/size", -1, "Expected `int` >= 0"),
        ("files/golden.json/size", 1.5, "Expected `int`, got `float`"),
        ("files/golden.json/sha256", "../../etc/passwd", "regex"),
        ("schema/fields/0/column/offset", "no", "Expected `float`, got `str`"),
        ("schema/fields/0/column/surprise", 1, "unknown field `surprise`"),
        ("schema/fields/0/column", 3, "the column `age` must be an object with its `type`, got 3"),
        ("schema/fields/0/missing", "yes", "Expected `bool`, got `str`"),
        ("schema/fields/0/name", "city", "the inputs must be at least one, each named once, got ['city', 'city']"),
        ("schema/fields", [], "the inputs must be at least one"),
        ("outputs", [], "the targets must be at least one"),
        ("outputs/0/type", "ranking", "Invalid value 'ranking'"),
        ("outputs/0/classes", [], "the classes of `kind` must be at least one"),
        ("outputs/0/classes", ["a", "a", "b"], "the classes of `kind` must be at least one, each named once"),
        ("outputs/0/array", "nowhere", "an array that an output names must be made by the encoder or a step, got 'nowhere'"),
        ("decisions", {"kind": {"type": "threshold", "code": 7, "at": 0.5}}, "about one of its classes, got class 7 of 3"),
        ("decisions", {"other": {"type": "argmax"}}, "about a target with classes: kind, got 'other'"),
        ("decisions", {"kind": {"type": "run", "code": "import os"}}, "Invalid value 'run'"),
        ("steps/0/graph", "other", "a graph that a step names must be in the bundle, got 'other'"),
        ("steps/0/type", "python", "Invalid value 'python'"),
    ],
)
def test_broken_rules(told: Any, manifest: dict[str, Any], path: str, value: object, words: str) -> None:
    *way, last = path.split("/")
    place: Any = manifest
    for part in way:
        place = place[int(part) if isinstance(place, list) else part]
    place[int(last) if isinstance(place, list) else last] = value
    with told(words):
        read(manifest)


OUTSIDE = [
    "../x",
    "/etc/passwd",
    "graphs/../../x",
    "a\\b",
    "..\\x",
    "C:/x",
    ".hidden",
    "a//b",
    "a/",
    "",
    "a/./b",
    "a b",
    "ä",
    "a\n",
    "a\0b",
]
RESERVED = ["manifest.json", "Manifest.JSON", "signature"]


@pytest.mark.parametrize("name", OUTSIDE + RESERVED)
def test_paths_that_leave_the_folder(told: Any, manifest: dict[str, Any], name: str) -> None:
    manifest["files"][name] = manifest["files"]["golden.json"]
    with told("a file of a bundle must be a plain path inside it", repr(name)[1:-1], "here: manifest.json"):
        read(manifest)


@pytest.mark.parametrize(("name", "words"), [("GOLDEN.json", "different from"), ("golden.json/x", "no file as well")])
def test_paths_that_clash(told: Any, manifest: dict[str, Any], name: str, words: str) -> None:
    manifest["files"][name] = manifest["files"]["golden.json"]
    with told(words, name, "Rename one of them."):
        read(manifest)


def test_a_newer_format_is_told(told: Any, manifest: dict[str, Any]) -> None:
    manifest |= {"format": 2, "reads_from": 2, "steps": {"something": "else"}}
    with told("readable by format 1, got format 2, which needs a reader of format 2", "pip install -U fermion"):
        read(manifest)


def test_a_newer_format_that_this_reader_understands(bundle: Bundle, manifest: dict[str, Any]) -> None:
    newer = read(manifest | {"format": 2, "reads_from": 1, "explanations": {"new": True}})
    assert newer == msgspec.structs.replace(bundle.manifest, format=2)


def test_a_newer_format_still_keeps_its_rules(told: Any, manifest: dict[str, Any]) -> None:
    with told("unknown field `x`"):
        read(manifest | {"format": 2, "outputs": [manifest["outputs"][0] | {"x": 1}]})


def test_a_column_of_a_plugin_names_its_package(told: Any, manifest: dict[str, Any]) -> None:
    manifest["schema"]["fields"][0]["column"] = {"type": "molecule", "size": 3}
    with told("here: column `age`: the column type must be one of", "got 'molecule'. It comes from a package"):
        read(manifest)
    manifest["packages"] = {"fermion-chemistry": "2.1", "numpy": "1"}
    with told("The bundle needs fermion-chemistry==2.1. Run: pip install 'fermion-chemistry==2.1'"):
        read(manifest)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([{"type": "calibrate", "input": "later", "temperature": 1, "output": "x"}], "step 0 (calibrate)"),
        (
            [{"type": "calibrate", "input": "numbers", "temperature": 1, "output": "codes"}],
            "an array that a step writes must be new, got 'codes'",
        ),
        ([{"type": "calibrate", "input": "numbers", "temperature": 0, "output": "x"}], "the temperature of a calibration must be positive"),
        ([{"type": "topk", "input": "numbers", "k": 0, "values": "v", "positions": "w"}], "k of a topk must be at least 1, got 0"),
        ([{"type": "topk", "input": "numbers", "k": 1, "values": "v", "positions": "v"}], "an array that a step writes must be new"),
        ([{"type": "blend", "inputs": ["numbers"], "weights": [1, 2], "output": "x"}], "the weights of a blend must be 1 numbers"),
        ([{"type": "blend", "inputs": ["numbers"], "weights": [0], "output": "x"}], "the weights of a blend"),
        ([{"type": "blend", "inputs": [], "weights": [], "output": "x"}], "the weights of a blend"),
        ([], "an array that an output names must be made by the encoder or a step"),
    ],
)
def test_steps_out_of_order(told: Any, manifest: dict[str, Any], steps: list[dict[str, Any]], words: str) -> None:
    with told(words, "here"):
        read(manifest | {"steps": steps})
