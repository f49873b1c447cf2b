"""A batch's arrays as rows of an answer: structs typed once from the outputs, so that no dict is built per row."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, defstruct

from fermion.columns.column import Arrays
from fermion.columns.output import Decision, Output, Probability, Value, keys_of, name_of, usual

Make = Callable[..., Any]


class Answers:
    """Turns output arrays into rows `{"prediction", "probabilities", "id"}` and rows into JSON.

    `prediction`, `probabilities` and what other kinds of outputs say (`quantiles`, `survival`, ...) are what `Runtime.decode` gives: plain
    for one target, objects by target for several. `id` is unique per row: a random prefix of the process and a count, so that a later
    message can say how the row really turned out.

    Args:
        outputs: of the model, in order.
        decisions: by target; the most probable class where there is none.
        bundle: the id that every answer names.
    """

    def __init__(self, outputs: Sequence[Output], decisions: Mapping[str, Decision], bundle: str) -> None:
        self._outputs = outputs
        self._decisions = {output.target: decisions.get(output.target, usual(output)) for output in outputs}
        self._several = len(outputs) > 1
        classed = [output for output in outputs if isinstance(output, Probability)]
        self._probabilities = {output.target: _object([name_of(label) for label in output.classes]) for output in classed}
        self.keys = (*keys_of(outputs), "id")
        having = {key: [output.target for output in outputs if key in output.answers] for key in self.keys}
        self._together = {key: _object(targets) for key, targets in having.items()}
        self._row: Make = defstruct("Row", [(key, Any) for key in self.keys], gc=False)
        self._prefix, self._count = os.urandom(6).hex(), itertools.count(1)
        self._encode = msgspec.json.Encoder().encode
        self._tail = b',"bundle":' + msgspec.json.encode(bundle) + b"}"

    def rows(self, arrays: Arrays) -> list[Struct]:
        """Output arrays of N rows -> N rows with fresh ids."""
        ids = map(f"{self._prefix}-%x".__mod__, self._count)
        found: dict[str, list[Iterable[Any]]] = {key: [] for key in self.keys[:-1]}
        for output in self._outputs:
            if isinstance(output, Probability):
                p_NK = arrays[output.array]
                codes = self._decisions[output.target].decide(p_NK).tolist()
                found["prediction"].append(map(output.classes.__getitem__, codes))
                found["probabilities"].append(itertools.starmap(self._probabilities[output.target], p_NK.tolist()))
            elif isinstance(output, Value):
                found["prediction"].append(output.restore(arrays[output.array]).tolist())
            else:
                for key, values in output.decode(arrays, self._decisions[output.target]).items():
                    found[key].append(values)
        if not self._several:
            return list(map(self._row, *(columns[0] for columns in found.values()), ids))
        return list(map(self._row, *(map(self._together[key], *columns) for key, columns in found.items()), ids))

    def encode(self, rows: Sequence[Struct], columnar: bool) -> bytes:
        """Rows -> the body of an answer, as rows or as columns."""
        if columnar:
            return b'{"columns":' + self._encode({key: [getattr(row, key) for row in rows] for key in self.keys}) + self._tail
        return b'{"rows":' + self._encode(rows) + self._tail


def _object(names: Sequence[str]) -> Make:
    """What makes a JSON object with these keys from its values: a struct where JSON needs no escapes for them, else a dict."""
    inner = [f"f{position}" for position in range(len(names))]
    try:
        return defstruct("Object", [(name, Any) for name in inner], rename=dict(zip(inner, names, strict=True)), gc=False)
    except ValueError:  # msgspec takes no quotes, backslashes or control characters in a field's name, and no name twice
        return lambda *values: dict(zip(names, values, strict=True))
