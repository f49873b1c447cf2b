"""Fermion from Python: `fit` a frame, `predict`, `evaluate`, `save`; `load` a bundle. The same work as `fermion run`, without a project."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fermion.bundle import bundle as bundles
from fermion.bundle.bundle import Bundle
from fermion.bundle.manifest import Manifest
from fermion.bundle.runtime import Runtime
from fermion.columns.column import Values
from fermion.core import spec as specs
from fermion.core.run import Run
from fermion.core.sections import seconds
from fermion.core.spec import Spec
from fermion.data import sources
from fermion.data.checks import Finding, refuse
from fermion.data.clean import part_digest
from fermion.data.split import Marks
from fermion.data.table import Table
from fermion.measure import snippet
from fermion.practice import collecting, making
from fermion.practice.making import Product
from fermion.practice.prediction import predict
from fermion.practice.progress import Progress
from fermion.practice.project import served
from fermion.practice.scoring import score
from fermion.research.evaluate import Report
from fermion.research.scoring import task_of


class Trained:
    """What `fit` gives: answers rows, knows how good it is, and becomes a bundle."""

    def __init__(self, spec: Spec, table: Table, marks: Marks, product: Product, findings: list[Finding], run: Run) -> None:
        self.spec, self.product, self.findings = spec, product, findings
        self._shown = collecting.published(spec)
        self._table, self._marks, self._run = table, marks, run
        self._report: Report | None = None

    @property
    def runtime(self) -> Runtime:
        """What answers rows: the exported graphs, as they will be served."""
        return self.product.runtime(self.evaluate().decisions)

    def predict(self, frame: Any) -> dict[str, list[Any]]:
        """Rows of a frame, file or mapping -> `prediction` and, for classes, `probabilities`, equally long lists.

        Takes what `Loaded.predict` takes.

        Raises:
            DataError: a column vanished, or a value does not fit its column.
        """
        return predict(self.runtime, _rows(frame))

    def evaluate(self) -> Report:
        """Metrics with intervals beside the baseline's, on the rows that were held out for the test; done once."""
        if self._report is None:
            self._report = score(self._table, self._marks, self.product, self.findings, self._shown, self._run)
        return self._report

    def save(self, path: str | Path) -> Bundle:
        """Write the bundle: a folder, or one file where the path ends in .zip.

        Raises:
            BundleError: it cannot be written.
        """
        report = self.evaluate()
        data = {"fingerprint": self._table.fingerprint, "rows": self._marks.sizes}
        manifest = making.manifest_of(self._shown, self.product, decisions=report.decisions, metrics=report.metrics, data=data, code=None)
        return packed(path, manifest, self.product)

    def _repr_html_(self) -> str:
        """For notebooks: what was fitted, and how good it is where that is known already."""
        product = self.product
        settings = ", ".join(f"{name}: {value}" for name, value in product.model.items() if name != "type")
        names = product.schema.names
        pairs = {
            "model": f"{product.model.get('type', '')} {f'({settings[:160]})' if settings else ''}",
            "inputs": ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else ""),
            "rows": ", ".join(f"{rows:,} {part}" for part, rows in self._marks.sizes.items()),
        }
        shown = [snippet.facts(pairs)]
        shown += [snippet.curve(one.name, one.x, one.y, one.unit) for one in product.curves[:4]]
        if self._report is None:
            shown.append(snippet.text("evaluate() says how good it is on the test part."))
        else:
            shown.append(snippet.scores([(name, one.value, one.low, one.high, one.baseline) for name, one in self._report.metrics.items()]))
        shown += [snippet.text(note) for note in product.notes]
        return snippet.box(f"Fitted: {', '.join(output.target for output in product.outputs)}", task_of(product.outputs), *shown)


class Loaded:
    """A bundle that answers rows."""

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.bundle, self.runtime = bundle, bundle.runtime(threads=threads)

    @property
    def metrics(self) -> dict[str, Any]:
        """What it scored on the test part when it was made."""
        return msgspec.to_builtins(self.bundle.manifest.metrics)

    def predict(self, frame: Any) -> dict[str, list[Any]]:
        """Rows of a mapping of names to lists or arrays, or of a data frame or file (those need the extra `train`).

        Raises:
            DataError: a column vanished, or a value does not fit its column.
        """
        return predict(self.runtime, _rows(frame))

    def _repr_html_(self) -> str:
        """For notebooks: that of the bundle."""
        return self.bundle._repr_html_()  # pyright: ignore[reportPrivateUsage]  # the protocol of notebooks


def fit(data: Any, /, *, target: str | tuple[str, ...], progress: bool = False, **settings: Any) -> Trained:
    """Learn to answer `target` from the other columns of `data`.

    Args:
        data: a data frame (Polars, pandas, DuckDB, Arrow), a mapping of names to arrays, or what `data.source` takes: a path, sample://...
        target: the column to learn, or several.
        progress: show it on standard error.
        settings: the sections of the project file: `model="linear"`, `split={"by": "time", "column": "day"}`, `seed=1`, `budget="5m"`.

    Raises:
        SpecError: a setting is wrong. DataError: the data are, or a check stopped the fit.

    >>> import fermion
    >>> model = fermion.fit("sample://iris", target="species", model="linear")
    >>> model.predict({"sepal_length_cm": [5.1], "sepal_width_cm": [3.5], "petal_length_cm": [1.4], "petal_width_cm": [0.2]})["prediction"]
    ['setosa']
    """
    source = str(data) if isinstance(data, str | Path) else "memory"
    section = {"source": source, "target": target, **settings.pop("data", {})}
    spec = specs.read({"name": settings.pop("name", "model"), "data": section, **settings}, name="fermion.fit")
    run = Run(seed=spec.seed, device=spec.device, budget=None if spec.budget is None else seconds(spec.budget))
    if progress:
        run.listeners.append(Progress())
    rows = collecting.as_it_is(spec, folder=Path.cwd(), place=lambda word: "") if isinstance(data, str | Path) else Table.of(data)
    table = collecting.shaped(rows, spec, _table)
    marks = making.divide(table, spec, run)
    before = part_digest(marks)
    marks = making.tidy(table, marks, spec, run).marks
    findings = making.look(table, marks, spec, training=before)
    refuse(findings)
    return Trained(spec, table, marks, making.fit(table, marks, spec, run), findings, run)


def load(path: str | Path, *, threads: int = 1) -> Loaded:
    """A bundle, ready to answer rows. Needs only the base install.

    Raises:
        BundleError: it is none, is altered or too new.
    """
    return Loaded(bundles.open(path), threads=threads)


def packed(path: str | Path, manifest: Manifest, product: Product) -> Bundle:
    """Write a product as a bundle: a folder, or one file where the path ends in .zip.

    Raises:
        BundleError: it cannot be written.
    """
    path, profile = Path(path), msgspec.json.encode(product.profile)
    if path.suffix != ".zip":
        return bundles.write(path.absolute(), manifest, graphs=product.graphs, golden=product.golden, profile=profile)
    with tempfile.TemporaryDirectory() as scratch:
        whole = bundles.write(Path(scratch) / "bundle", manifest, graphs=product.graphs, golden=product.golden, profile=profile)
        return bundles.open(whole.save_zip(path.absolute()))


def _rows(frame: Any) -> Table | Mapping[str, Values]:
    """Lists and arrays by name as they are, which needs only the base install; all else as a table."""
    if isinstance(frame, Mapping):
        named: Mapping[str, Any] = frame  # pyright: ignore[reportUnknownVariableType]
        if all(isinstance(values, list | tuple | np.ndarray) for values in named.values()):
            return named
    return _table(frame)


def _table(data: Any) -> Table:
    return sources.read(str(data), folder=Path.cwd()) if isinstance(data, str | Path) else Table.of(data)


def serve(path: str | Path, **settings: Any) -> None:
    """Serve a bundle over HTTP until SIGTERM or Ctrl-C: `serve("model.zip", port=9000)`.

    Raises:
        SpecError: a setting is not one of the section `serve`. UsageError: the port is taken.
    """
    from fermion.cloud import server

    found, section = served(path, [f"serve.{name}={value}" for name, value in settings.items()])
    server.serve(found, section)
