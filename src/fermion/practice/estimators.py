"""Fermion behind scikit-learn's interface: `FermionClassifier` and `FermionRegressor`, for pipelines, searches and cross-validation."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight as check_weights  # pyright: ignore[reportPrivateUsage] for who writes estimators
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data

from fermion.bundle.bundle import Bundle
from fermion.columns.output import Probability, Value
from fermion.core import spec as specs
from fermion.core.errors import FermionError, MissingExtra
from fermion.core.run import Run
from fermion.core.sections import seconds
from fermion.data.split import TRAIN, VALIDATION, Marks
from fermion.data.table import Table
from fermion.practice import making
from fermion.research.scoring import answers

FEWEST = 40  # rows from which some are held out for choices


class _Fermion(BaseEstimator):
    """What both have in common. Every estimator answers through its exported graphs, as a service would."""

    def __init__(
        self,
        model: Any = None,
        *,
        budget: str | float | None = None,
        seed: int = 0,
        validation: float = 0.15,
        columns: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.budget = budget
        self.seed = seed
        self.validation = validation
        self.columns = columns

    def to_bundle(self, path: str | Path, *, name: str = "estimator") -> Bundle:
        """Write what was fitted as a bundle: a folder, or one file where the path ends in .zip.

        It has no metrics, because no row was kept for them.

        Raises:
            NotFittedError: it is not fitted. BundleError: it cannot be written.
        """
        check_is_fitted(self)
        from fermion.practice.easy import packed

        spec = specs.read({**self.section_, "name": name}, name="to_bundle")
        manifest = making.manifest_of(spec, self.product_, decisions={}, metrics={}, data=self.rows_, code=None)
        return packed(path, manifest, self.product_)

    def _fit(self, X: Any, y: NDArray[Any], sample_weight: Any, kind: str) -> None:
        """Learn `y`, made of labels or numbers that the target's column can hold."""
        batch, arrays = self._batch(X, reset=True)
        target, weight = _free("target", batch), _free("weight", batch)
        rows = len(y)
        said = {name: {"missing": "accept", **({"type": "number"} if arrays else {})} for name in batch}
        for column, declared in (self.columns or {}).items():
            own = {"type": declared} if isinstance(declared, str) else declared
            said[column] = {"missing": "accept", **own}
        data: dict[str, Any] = {"source": "memory", "target": target, "columns": {**said, target: {"type": kind}}}
        batch[target] = y
        if sample_weight is not None:
            batch[weight] = check_weights(sample_weight, y, dtype=np.float64, ensure_non_negative=True)
            data["weight"] = {"column": weight, "use": "fit"}
        section: dict[str, Any] = {"name": "estimator", "seed": self.seed, "data": data}
        section |= {} if self.model is None else {"model": self.model}
        section |= {} if self.budget is None else {"budget": self.budget}
        spec = specs.read(section, name=type(self).__name__)
        run = Run(seed=spec.seed, budget=None if spec.budget is None else seconds(spec.budget))
        codes_N = np.full(rows, TRAIN, dtype=np.int8)
        held = self._held(y, run.rng("split"), kind)
        codes_N[held] = VALIDATION
        table = Table.of(batch)
        self.product_ = making.fit(table, Marks(codes=codes_N, by="estimator", column=None, boundaries={}), spec, run)
        self.section_ = specs.document(spec)
        self.rows_ = {"fingerprint": table.fingerprint, "rows": {"train": rows - len(held), "validation": len(held), "test": 0}}
        self._runtime = self.product_.runtime()

    def _held(self, y: NDArray[Any], rng: np.random.Generator, kind: str) -> NDArray[np.int64]:
        """Rows for choices (early stopping and the like): a share of each class that leaves at least one of it to learn from."""
        if len(y) < FEWEST or not self.validation:
            return np.zeros(0, dtype=np.int64)
        groups = [np.flatnonzero(y == one) for one in np.unique(y)] if kind == "category" else [np.arange(len(y))]
        parts = [rng.permutation(rows)[: int(self.validation * len(rows))] for rows in groups]
        return np.sort(np.concatenate(parts))

    def _batch(self, X: Any, *, reset: bool) -> tuple[dict[str, Any], bool]:
        """Columns by name, and whether they come from an array of numbers."""
        if hasattr(X, "columns"):  # a frame, of pandas or Polars
            validate_data(self, X, reset=reset, skip_check_array=True)
            table = Table.of(X)
            if not len(table):
                raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
            return {name: table.series(name) for name in table.names}, False
        if _texts(X):
            x_NF: Any = np.asarray(X, dtype=object)
            validate_data(self, x_NF, reset=reset, skip_check_array=True)
            return {f"x{at}": x_NF[:, at].tolist() for at in range(x_NF.shape[1])}, False
        x_NF = np.asarray(validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite="allow-nan"))
        if np.isinf(x_NF).any():
            raise ValueError("Input X contains infinity, which is no number that can be learned from.")
        return {f"x{at}": x_NF[:, at] for at in range(x_NF.shape[1])}, True

    def _answers(self, X: Any) -> NDArray[Any]:
        """(N, K) probabilities or (N,) standardised values."""
        check_is_fitted(self)
        batch, _ = self._batch(X, reset=False)
        with _told():
            arrays = Table.of(batch).encoded(self.product_.schema)
            return answers(self._runtime, arrays)[self.product_.outputs[0].array]

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        state = {**state}
        state.pop("_runtime", None)  # an open graph cannot travel; it is opened again
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "product_" in state:
            self._runtime = self.product_.runtime()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags


class FermionClassifier(ClassifierMixin, _Fermion):
    """A classifier with any of Fermion's models.

    Args:
        model: a name (`"trees"`, `"linear"`, `"mlp"`, ...), the settings `{"type": "mlp", "width": 64}`, or a model; None chooses.
        budget: how long fitting may take: seconds, or text such as `"5m"`.
        seed: same seed, same result.
        validation: the share of the rows that choices such as early stopping are made on; below 40 rows there is none.
        columns: what columns mean where it is not inferred, as under `data.columns` of a project file.

    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True, as_frame=True)
    >>> FermionClassifier("linear").fit(x, y).score(x, y) > 0.9
    True

    Buitinck et al.: API design for machine learning software, 2013.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> FermionClassifier:
        """Learn from rows X (a frame, or (N, F) numbers and texts) and their (N,) classes.

        Raises:
            ValueError: what Fermion refuses, in its words.
        """
        y = _column(self, X, y)
        check_classification_targets(y)
        self.classes_, codes_N = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(f"Classes can be learned from at least two of them, got one class: {self.classes_[0]!r}")
        plain = self.classes_.dtype.kind in "iub" or all(isinstance(one, str) for one in self.classes_.tolist())
        labels: list[Any] = self.classes_.tolist() if plain else list(range(len(self.classes_)))
        with _told():
            self._fit(X, np.array(labels)[codes_N], sample_weight, "category")
        output = self.product_.outputs[0]
        assert isinstance(output, Probability)
        places = {label: place for place, label in enumerate(output.classes)}
        self._order = np.array([places[label] for label in labels])
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """(N, K) probabilities in the order of `classes_`."""
        return self._answers(X)[:, self._order]

    def predict(self, X: Any) -> NDArray[Any]:
        """(N,) the most probable classes."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class FermionRegressor(RegressorMixin, _Fermion):
    """A regressor with any of Fermion's models; the parameters are those of `FermionClassifier`.

    >>> from sklearn.datasets import load_diabetes
    >>> x, y = load_diabetes(return_X_y=True)
    >>> FermionRegressor("linear").fit(x, y).score(x, y) > 0.4
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> FermionRegressor:
        """Learn from rows X (a frame, or (N, F) numbers and texts) and their (N,) values.

        Raises:
            ValueError: what Fermion refuses, in its words.
        """
        y = _column(self, X, y).astype(np.float64)
        if not np.isfinite(y).all():
            raise ValueError("Input y contains NaN or infinity.")
        with _told():
            self._fit(X, y, sample_weight, "number")
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(N,) values in the target's own unit."""
        v_N = self._answers(X)
        output = self.product_.outputs[0]
        assert isinstance(output, Value)
        return output.restore(v_N)


def _column(estimator: Any, X: Any, y: Any) -> NDArray[Any]:
    """(N,) targets, as many as there are rows."""
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"This {name} estimator requires y to be passed, but the target y is None.")
    y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    return y


def _texts(X: Any) -> bool:
    """Whether an array or nested list has texts among its values."""
    if not isinstance(X, np.ndarray | list | tuple) or (isinstance(X, np.ndarray) and X.dtype.kind not in "OUS"):
        return False
    values = np.asarray(X, dtype=object)
    return values.ndim == 2 and any(isinstance(value, str) for value in values.ravel())


def _free(word: str, taken: Any) -> str:
    while word in taken:
        word += "_"
    return word


@contextlib.contextmanager
def _told() -> Generator[None]:
    """Refusals as scikit-learn's callers expect them."""
    try:
        yield
    except MissingExtra:
        raise  # not what was given is wrong, but what is installed
    except FermionError as bad:
        raise ValueError(str(bad)) from bad
