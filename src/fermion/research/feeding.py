"""How encoded columns are put before a graph that was made elsewhere: in its order, type and shape, with the codes that it knows."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from msgspec import Struct

from fermion.columns.category import FIRST
from fermion.columns.schema import Field, Named, Schema
from fermion.core.errors import SpecError, Told, did_you_mean
from fermion.research.nodes import Nodes
from fermion.research.offered import word_of

_ONNX = {"float32": 1, "float64": 11, "int64": 7, "int32": 6, "uint8": 2}


class Said(Protocol):
    """What the project file says about feeding: fields of `OnnxGraph`."""

    @property
    def levels(self) -> dict[str, tuple[str | int, ...]]: ...
    @property
    def unknown(self) -> int: ...
    @property
    def missing(self) -> float | None: ...
    @property
    def divide(self) -> float: ...
    @property
    def mean(self) -> tuple[float, ...]: ...
    @property
    def spread(self) -> tuple[float, ...]: ...


class Part(Struct, frozen=True, kw_only=True):
    """One column of a fused array: its place there, what is added to a number, or what stands for each code."""

    array: str
    at: int
    offset: float = 0.0
    table: tuple[int, ...] = ()


class Feed(Struct, frozen=True, kw_only=True):
    """One input of the given graph, (N, *shape) of dtype: columns side by side, or one array as `picture` says."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    parts: tuple[Part, ...] = ()
    widths: tuple[int, int] = (0, 0)  # of `numbers` and `codes`
    missing: float | None = None
    array: Named | None = None
    turned: bool = False  # channels come first
    divide: float = 1.0
    mean: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    direct: str | None = None  # the array that it takes as it is

    @property
    def reads(self) -> tuple[str, ...]:
        """The arrays that it is made of."""
        return (self.array.name,) if self.array is not None else tuple(dict.fromkeys(part.array for part in self.parts))

    def nodes(self, nodes: Nodes) -> str:
        """Nodes that make it."""
        to = _ONNX[self.dtype]
        if self.array is not None:
            return self._array(nodes, self.array, to)
        made: list[str] = []
        for part in self.parts:
            numbers = part.array == "numbers"
            whole = _once(nodes, part.array, "float32" if numbers else "int64", self.widths[0 if numbers else 1])
            x = nodes.add("Gather", whole, nodes.constant(np.array([part.at], dtype=np.int64)), axis=1)
            if part.table:
                x = nodes.add("Gather", nodes.constant(np.array(part.table, dtype=np.int64)), x, axis=0)
            if numbers and self.missing is not None:
                x = nodes.add("Where", nodes.add("IsNaN", x), nodes.constant(np.float32(self.missing - part.offset)), x)
            if part.offset:
                x = nodes.add("Add", nodes.add("Cast", x, to=11), nodes.constant(np.float64(part.offset)))
            made.append(nodes.add("Cast", x, to=to))
        x = nodes.add("Concat", *made, axis=1) if len(made) > 1 else made[0]
        return nodes.add("Reshape", x, nodes.constant(np.array([-1, *self.shape], dtype=np.int64)))

    def _array(self, nodes: Nodes, named: Named, to: int) -> str:
        shape = tuple(size or 1 for size in named.slot.shape)
        x = _once(nodes, named.name, named.slot.dtype, *shape)
        if named.slot.role == "image" and self.dtype.startswith("float"):
            x = nodes.add("Div", nodes.add("Cast", x, to=1), nodes.constant(np.float32(self.divide)))
            if self.mean:
                x = nodes.add("Sub", x, nodes.constant(np.array(self.mean, dtype=np.float32)))
            if self.spread:
                x = nodes.add("Div", x, nodes.constant(np.array(self.spread, dtype=np.float32)))
        if self.turned:
            x = nodes.add("Transpose", x, perm=[0, 3, 1, 2])
        x = nodes.add("Cast", x, to=to)
        return nodes.add("Reshape", x, nodes.constant(np.array([-1, *self.shape], dtype=np.int64)))


def feed_of(
    said: Said, name: str, dtype: str, shape: tuple[Any, ...], wanted: str | tuple[str, ...] | None, schema: Schema, *, alone: bool
) -> Feed:
    """What one input of the graph gets.

    Raises:
        SpecError: there is no such column or array, it has another shape, or nothing says what the input gets.
    """
    layout = schema.layout
    named = {one.name: one for one in layout.arrays}
    by_word = {word_of(one): one for one in layout.names}
    if wanted is None:
        wanted = by_word.get(word_of(name)) or (name if name in schema.names else None)
        if wanted is None and alone:
            pictures = [one.name for one in layout.arrays if one.slot.role == "image"]
            wanted = pictures[0] if len(shape) == 3 and len(pictures) == 1 else tuple(schema.names)
    if wanted is None:
        given, remedy = (
            Told(f"inputs with the shapes of {name} {shape}"),
            f"Say it under model.inputs: {{{name}: a column, or a list of them}}",
        )
        raise SpecError(f"what the input `{name}` of the graph gets", rule="declared", given=given, remedy=remedy, where="model.inputs")
    if isinstance(wanted, str) and wanted in named:
        return _whole(said, name, dtype, shape, named[wanted])
    if isinstance(wanted, str) and wanted in schema.names:
        own = [one for one in layout.arrays if one.field == wanted]
        if len(own) == 1:
            return _whole(said, name, dtype, shape, own[0])
    return _side_by_side(said, name, dtype, shape, wanted, schema)


def _whole(said: Said, name: str, dtype: str, shape: tuple[Any, ...], named: Named) -> Feed:
    """One array of its own: as it is, or a picture in the graph's layout."""
    own, picture = named.slot.shape, named.slot.role == "image"
    turned = picture and len(shape) == 3 and not _fits(shape, own) and _fits(shape, (own[2], own[0], own[1]))
    if not turned and not _fits(shape, own):
        remedy = (
            f"Declare the size of the column: data.columns: {{{named.field}: {{type: image, height: H, width: W}}}}." if picture else ""
        )
        rule = f"of the shape (N, {', '.join(map(str, shape))})"
        raise SpecError(f"`{named.name}` for the input `{name}`", rule=rule, given=Told(f"(N, {', '.join(map(str, own))})"), remedy=remedy)
    as_it_is = not turned and dtype == named.slot.dtype
    made = tuple(size or -1 for size in ((own[2], own[0], own[1]) if turned else own))
    return Feed(
        name=name,
        dtype=dtype,
        shape=made,
        array=named,
        turned=turned,
        divide=said.divide,
        mean=said.mean,
        spread=said.spread,
        direct=named.name if as_it_is else None,
    )


def _side_by_side(said: Said, name: str, dtype: str, shape: tuple[Any, ...], wanted: str | tuple[str, ...], schema: Schema) -> Feed:
    """Columns in the order in which they are named; `numbers` and `codes` are all of theirs."""
    layout = schema.layout
    fused = {"numbers": layout.numbers, "codes": layout.codes}
    columns = (wanted,) if isinstance(wanted, str) else wanted
    parts: list[Part] = []
    for column in columns:
        if column in fused and column not in schema.names:
            places = [(column, at) for at in range(len(fused[column]))]
        else:
            places = [(array, at) for array, refs in fused.items() for at, ref in enumerate(refs) if ref.field == column]
        if not places:
            known = [*schema.names, *layout.names]
            remedy = did_you_mean(column, known) or f"There are {', '.join(known[:12])}."
            raise SpecError(f"what the input `{name}` gets", rule="a column or array", given=column, remedy=remedy, where="model.inputs")
        parts += [_part(said, array, at, schema) for array, at in places]
    free = not all(isinstance(size, int) for size in shape)
    made = (len(parts),) if free and len(shape) <= 1 else tuple(size if isinstance(size, int) else -1 for size in shape)
    if int(np.prod(made, dtype=np.int64)) != len(parts):
        rule = f"{' x '.join(map(str, shape))} numbers per row"
        given = Told(f"{len(parts)} of the columns {', '.join(columns[:12])}")
        remedy = "Name its columns under model.inputs, in the order in which the graph was trained."
        raise SpecError(f"what the input `{name}` of the graph gets", rule=rule, given=given, remedy=remedy, where="model.inputs")
    moved = any(part.offset or part.table for part in parts) or said.missing is not None
    whole = [(part.array, part.at) for part in parts] == [("numbers", at) for at in range(len(layout.numbers))]
    direct = "numbers" if whole and not moved and dtype == "float32" and made == (len(parts),) else None
    widths = (len(layout.numbers), len(layout.codes))
    return Feed(name=name, dtype=dtype, shape=made, parts=tuple(parts), widths=widths, missing=said.missing, direct=direct)


def _part(said: Said, array: str, at: int, schema: Schema) -> Part:
    if array == "numbers":
        ref = schema.layout.numbers[at]
        found = next((field for field in schema.fields if field.name == ref.field), None)
        return Part(array=array, at=at, offset=0.0 if found is None else _offset(found))
    ref = schema.layout.codes[at]
    levels = said.levels.get(ref.field)
    if levels is None:
        return Part(array=array, at=at)
    column = _inner(next(field for field in schema.fields if field.name == ref.field))
    places = {level: place for place, level in enumerate(levels)}
    table = [said.unknown] * FIRST + [places.get(level, said.unknown) for level in column.levels]
    return Part(array=array, at=at, table=tuple(table))


def _offset(field: Field) -> float:
    """What a column of numbers took off before it made float32."""
    return float(_inner(field).offset) if field.kinds[-1] == "number" else 0.0


def _inner(field: Field) -> Any:
    column = field.column
    for _ in field.kinds[1:]:
        column = column.column
    return column


def _fits(asked: tuple[Any, ...], own: tuple[int | None, ...]) -> bool:
    """Whether an array of shape `own` may be fed where `asked` is declared; names and None take any size."""
    return len(asked) == len(own) and all(not isinstance(a, int) or a == b for a, b in zip(asked, own, strict=True))


def _once(nodes: Nodes, name: str, dtype: str, *shape: int) -> str:
    return name if nodes.has(name) else nodes.input(name, dtype, *shape)
