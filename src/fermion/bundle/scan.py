"""A look at an ONNX file before anything else reads it: it must be whole in itself and name only known operators.

ONNX Runtime, given bytes, may take `external_data` from files in the working directory. Only the structure is walked, straight from the
wire format (https://protobuf.dev/programming-guides/encoding/); field numbers are those of onnx.proto. Weights are skipped, not copied.
"""

from __future__ import annotations

import re

from fermion.core.errors import BundleError, Told

# The operators that ONNX and ONNX Runtime bring along; any other domain is code that someone would have to install.
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc")

# By message: which fields hold messages that matter.
_WITHIN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_DOMAIN = {"node": 7, "function": 10}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor
# The values of an attribute come one by one, in a forest by tens of thousands: numbers of 2 to 11 bytes are passed over by one match.
_NUMBERS = re.compile(rb"(?:\x40[\x80-\xff]{0,9}+[\x00-\x7f]|\x3d[\x00-\xff]{4})*+")


_TEXT = 0x4A  # the tag of one of an attribute's texts


def check(name: str, graph: bytes) -> None:
    """Make sure that an ONNX file needs no other file and no operators of strangers.

    Raises:
        BundleError: it is cut off or no ONNX file, keeps weights elsewhere, or names operators that ONNX Runtime does not bring.
    """
    used: set[str] = set()
    own: set[str] = set()
    try:
        holds = _walk(name, graph, used, own)
    except (IndexError, ValueError, UnicodeDecodeError) as bad:
        raise _refused(name, "a whole ONNX file", str(bad), "Export the model again.") from None
    if "graph" not in holds:
        raise _refused(name, "a whole ONNX file", f"{len(graph)} bytes without a graph", "Export the model again.")
    strange = sorted(used - own - set(DOMAINS))
    if strange:
        remedy = "Export the model with standard operators; a bundle runs no code of its own."
        raise _refused(name, "made of operators that ONNX Runtime brings", f"operators of the domain {strange[0]}", remedy)


def _walk(name: str, data: bytes, used: set[str], own: set[str]) -> set[str]:
    """Every message that matters, without recursion; gives the kinds that were met."""
    met: set[str] = set()
    waiting = [("model", 0, len(data))]
    while waiting:
        kind, at, end = waiting.pop()
        met.add(kind)
        within, domain = _WITHIN[kind], _DOMAIN.get(kind, 0)
        while at < end:
            if kind == "attribute" and (past := _past_values(data, at, end)) > at:
                at = past
                continue
            tag, at = _varint(data, at, end)
            number, wire = tag >> 3, tag & 7
            start = at
            if wire == 2:
                length, start = _varint(data, at, end)
                at = start + length
            elif wire == 0:
                value, at = _varint(data, at, end)
                if kind == "tensor" and number == _DATA_LOCATION and value == 0:
                    continue
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
            else:
                raise ValueError(f"wire type {wire} at byte {start}")
            if at > end:
                raise ValueError(f"cut off at byte {end}")
            if kind == "tensor" and number in (_EXTERNAL_DATA, _DATA_LOCATION):
                raise _refused(
                    name,
                    "one file with its weights inside",
                    f"weights in another file: {_texts(data[start:at])}",
                    "Export it with external_data=False.",
                )
            if wire == 2 and number == domain:
                (own if kind == "function" else used).add(data[start:at].decode())
            elif wire == 2 and number in within:
                waiting.append((within[number], start, at))
    return met


def _past_values(data: bytes, at: int, end: int) -> int:
    """Where the numbers and short texts of an attribute that begin here are over."""
    if (numbers := _NUMBERS.match(data, at, end)) is not None:
        at = numbers.end()
    while at + 1 < end and data[at] == _TEXT and data[at + 1] < 0x80 and at + 2 + data[at + 1] <= end:
        at += 2 + data[at + 1]
    return at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first, and where the next field begins."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError(f"no whole number at byte {at}")


def _texts(data: bytes) -> str:
    return " ".join(found.decode() for found in re.findall(rb"[\x20-\x7e]{3,80}", data)[:3]) or "unnamed"


def _refused(name: str, rule: str, given: str, remedy: str) -> BundleError:
    return BundleError(f"the graph `{name}`", rule=rule, given=Told(given), remedy=remedy)
