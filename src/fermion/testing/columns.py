"""What every column promises, as tests. Third parties run them over their own, registered under the group `fermion.columns`:

class TestMoney(ColumnContract):
    column, good, bad = Money(), ("1.50 EUR", None), ("three coins",)
"""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from fermion.columns.assets import assets_of
from fermion.columns.column import Coded, Column, encode_once
from fermion.columns.schema import Field
from fermion.core import registry
from fermion.core.errors import ValueRejected


class ColumnContract:
    """Set `column` (not fitted), `good` values that it accepts, the first of them not missing, and `bad` ones that it must refuse."""

    column: Column
    good: Sequence[object]
    bad: Sequence[object]

    @property
    def fitted(self) -> Any:
        """The column that has learned from all good values."""
        return self.column.fit(self.good)

    def test_fitting_leaves_the_original_alone(self) -> None:
        before = msgspec.json.encode(self.column)
        self.column.fit(self.good)
        assert msgspec.json.encode(self.column) == before

    def test_fitting_gives_the_same_twice(self) -> None:
        assert self.fitted == self.fitted

    def test_the_registry_knows_it_by_its_type(self) -> None:
        tag = msgspec.to_builtins(self.column)["type"]
        assert registry.find("columns", tag) is type(self.column)

    def test_state_survives_json(self) -> None:
        """A field of a schema goes into a manifest and comes back as the same column."""
        fitted = self.fitted
        again = msgspec.json.decode(msgspec.json.encode(Field(name="x", column=fitted)), type=Field).column
        assert again == fitted
        assert again.slots == fitted.slots
        same(again.encode(self.good), fitted.encode(self.good))

    def test_arrays_are_what_the_slots_say(self) -> None:
        fitted = self.fitted
        assert len({slot.name for slot in fitted.slots}) == len(fitted.slots) > 0
        for slot, array in zip(fitted.slots, fitted.encode(self.good), strict=True):
            assert array.dtype == slot.dtype
            assert len(array) == len(self.good)
            assert all(want in (None, got) for want, got in zip(slot.shape, array.shape[1:], strict=True))
            if slot.role == "number":
                assert (slot.dtype, slot.shape) == ("float32", ())
                assert not np.isinf(array).any()
            if slot.role == "code":
                assert (slot.dtype, slot.shape) == ("int64", ())
                assert ((array >= 0) & (array < slot.size)).all()

    def test_rows_do_not_see_each_other(self) -> None:
        """A row in a batch is the row alone, padded on the right."""
        fitted = self.fitted
        batch = fitted.encode(self.good)
        for row, value in enumerate(self.good):
            for slot, array, alone in zip(fitted.slots, batch, fitted.encode([value]), strict=True):
                room = [(0, long - short) for long, short in zip(array.shape[1:], alone.shape[1:], strict=True)]
                padded = np.pad(alone, [(0, 0), *room], constant_values=slot.padding or 0)
                np.testing.assert_array_equal(array[row : row + 1], padded, strict=True)

    def test_lists_tuples_and_arrays_of_objects_mean_the_same(self) -> None:
        objects = np.empty(len(self.good), dtype=object)
        for row, value in enumerate(self.good):
            objects[row] = value
        fitted = self.fitted
        same(fitted.encode(list(self.good)), fitted.encode(objects))
        same(fitted.encode(tuple(self.good)), fitted.encode(objects))
        assert self.column.fit(objects) == fitted

    def test_coded_values_mean_the_same(self) -> None:
        """A table hands equal texts over as one value with many codes."""
        last = len(self.good) - 1
        coded = Coded(list(self.good), np.array([last, *range(len(self.good)), 0, 0, last], dtype=np.uint8))
        fitted = self.column.fit(list(coded))
        assert self.column.fit(coded) == fitted
        same(fitted.encode(coded), fitted.encode(list(coded)))
        same(encode_once(fitted, coded), fitted.encode(list(coded)))
        for value in self.bad:
            for encode in (fitted.encode, lambda values: encode_once(fitted, values)):
                with pytest.raises(ValueRejected, match=r"^row 2: value must be .+, got "):
                    encode(Coded([self.good[0], value], np.array([0, 0, 1, 0, 1])))

    def test_none_and_nan_are_one_thing(self) -> None:
        fitted = self.fitted
        for nan in (float("nan"), np.float32("nan"), np.float64("nan")):
            same(fitted.encode([self.good[0], nan]), fitted.encode([self.good[0], None]))
        assert fitted.plain(float("nan")) is None
        assert fitted.plain(None) is None

    def test_empty_batch_and_nothing_to_learn_from(self) -> None:
        for fitted in (self.fitted, self.column.fit([]), self.column.fit([None])):
            assert [len(array) for array in fitted.encode([])] == [0] * len(fitted.slots)
            assert [len(array) for array in fitted.encode([None])] == [1] * len(fitted.slots)

    def test_bad_values_are_refused_by_row(self) -> None:
        fitted = self.fitted
        for value in self.bad:
            with pytest.raises(ValueRejected, match=r"^row 1: value must be .+, got "):
                fitted.encode([self.good[0], value])

    def test_a_plain_value_survives_json_and_means_the_same(self) -> None:
        """Golden rows and clients send plain values; a request is read by the type that the column asks for."""
        fitted = self.fitted
        for value in self.good:
            sent = msgspec.json.encode(fitted.plain(value))
            received = msgspec.json.decode(sent, type=fitted.request | None)
            same(fitted.encode([received]), fitted.encode([value]))
            assert fitted.plain(received) == fitted.plain(value)

    def test_bad_values_have_no_plain_form(self) -> None:
        for value in self.bad:
            with pytest.raises(ValueRejected):
                self.fitted.plain(value)

    def test_needs_are_extras(self) -> None:
        assert set(self.fitted.needs) <= {"media", "text", "train", "cloud"}

    def test_assets_are_found_by_their_digest_and_told_where_they_are_not(self) -> None:
        """A column with files works in another process that has them, and says which is missing in one that does not."""
        fitted = self.fitted
        assets = list(assets_of(fitted))
        for asset in assets:
            assert hashlib.sha256(asset.read()).hexdigest() == asset.sha256
        if not assets:
            return
        state = msgspec.json.encode(Field(name="x", column=fitted))
        value = msgspec.json.encode(fitted.plain(self.good[0]))
        sent = pickle.dumps([state, value, [asset.read() for asset in assets]])
        done = subprocess.run([sys.executable, "-P", "-c", ELSEWHERE], input=sent, capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        told, arrays = pickle.loads(done.stdout)
        assert all(word in told for word in (f"the asset {assets[0].name} must be", "Open the bundle"))
        same(arrays, fitted.encode([msgspec.json.decode(value, type=fitted.request)]))
        again = pickle.loads(pickle.dumps(fitted))
        same(again.encode(self.good), fitted.encode(self.good))


ELSEWHERE = """
import pickle, sys
import msgspec
from fermion.columns import assets
from fermion.columns.schema import Field
from fermion.core.errors import BundleError

state, value, files = pickle.load(sys.stdin.buffer)
column = msgspec.json.decode(state, type=Field).column
values = [msgspec.json.decode(value, type=column.request)]
try:
    column.encode(values)
    told = "nothing"
except BundleError as bad:
    told = str(bad)
for data in files:
    assets.put(data)
sys.stdout.buffer.write(pickle.dumps([told, column.encode(values)]))
"""


def same(left: tuple[NDArray[Any], ...], right: tuple[NDArray[Any], ...]) -> None:
    """Two encodings are equal in dtypes, shapes and values, NaN with NaN."""
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
