"""An estimator of scikit-learn, or of anyone who keeps its interface, as a model: fitted by its own code, served as a graph."""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct, field
from numpy.typing import NDArray

from fermion.bundle.steps import Onnx, Step
from fermion.columns.column import Arrays
from fermion.columns.output import Output, Probability
from fermion.core import imported, lazy
from fermion.core.errors import DataError, FermionError, SpecError, Stopped, Told
from fermion.core.run import Run
from fermion.research.flat import Flat
from fermion.research.model import Encoded, Export, Fitted
from fermion.research.nodes import ML_OPSET, OPSET, Nodes
from fermion.research.offered import plain
from fermion.research.parity import ROWS, check_parity
from fermion.research.targets import Target, learnable, width

TOLERANCE = 1e-4
# What skl2onnx cannot convert, or converts wrong, and what comes nearest.
NEAREST = {
    "HistGradientBoosting": "Use `model: {type: trees}`: LightGBM grows the same histogram trees.",
    "XGB": "Use `model: {type: trees}`, or XGBoost by the package's own model.",
    "LGBM": "Use `model: {type: trees}`, which is LightGBM.",
    "CatBoost": "Use `model: {type: trees}`, or CatBoost by the package's own model.",
    "LinearSVC": "Put it into sklearn.calibration:CalibratedClassifierCV, or use sklearn.linear_model:LogisticRegression.",
    "SVC": "Put it into sklearn.calibration:CalibratedClassifierCV.",
    "RidgeClassifier": "Use sklearn.linear_model:LogisticRegression.",
    "Perceptron": "Use sklearn.linear_model:LogisticRegression.",
    "SGDClassifier": "Set settings.loss to log_loss, or use sklearn.linear_model:LogisticRegression.",
    "PassiveAggressive": "Use sklearn.linear_model:LogisticRegression.",
}


class Sklearn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="sklearn"):
    """Any estimator with `fit` and `predict_proba` (classes) or `predict` (values), one for each target.

    It reads one matrix (`fermion.research.flat`): numbers as they are, a column per level of each category, vectors and pictures
    flattened. The fitted estimator is converted by skl2onnx and compared with itself on up to 1,000 real rows: what differs by more
    than 1e-4, or cannot be converted, is refused with the reason and with what comes nearest. Whatever is still unset and called
    `random_state` gets the run's seed.

    Args:
        estimator: `module:name` of a class, of an unfitted estimator or pipeline, or of a function that gives one; of an installed
            package or of the project's folder. A function with the parameter `output` is told what is learned (`fermion.columns.output`).
        settings: what the class or function is called with.
        missing: `keep` leaves gaps NaN, `median` fills them by the training part's medians, in the graph; `auto` keeps them where the
            estimator can take them and its export agrees, and fills them otherwise.

    >>> Sklearn(estimator="sklearn.linear_model:LogisticRegression", settings={"C": 0.5}).missing
    'auto'

    Pedregosa et al.: Scikit-learn: Machine Learning in Python, JMLR 2011.
    """

    estimator: Annotated[str, Meta(description="module:name of a class, an estimator or a function that gives one.")]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    missing: Literal["auto", "keep", "median"] = "auto"

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Fit one estimator per target. The validation part proves the export.

        Raises:
            DataError: no labelled row, one class, nothing to read, or weights that the estimator cannot take.
            SpecError: there is no such estimator, it is of another kind, or raises.
            FermionError: it cannot be exported exactly.
            Stopped: it was stopped before it began: an estimator cannot be asked to end early.
        """
        targets = [learnable(output, train) for output in train.outputs]
        if run.stopped:
            raise Stopped("the training", rule="begun before it is stopped", given=Told("nothing fitted"), remedy="Run it again.")
        plain(train.outputs, "sklearn")
        lazy.load("sklearn", extra="train")
        lazy.load("skl2onnx", extra="sklearn")
        made = imported.load(self.estimator, run.home, where="model.estimator")
        unfitted = [self._unfitted(made, target.output, run) for target in targets]
        keep = self.missing == "keep" or (self.missing == "auto" and all(map(_takes_gaps, unfitted)))
        learned = self._fit(unfitted, targets, train, valid, run, keep=keep)
        notes: list[str] = []
        try:
            learned.export()
        except FermionError:
            if self.missing != "auto" or not keep:
                raise
            learned = self._fit(unfitted, targets, train, valid, run, keep=False)
            learned.export()
            notes.append("missing numbers are filled by their medians: with gaps the exported estimator differed from the fitted one")
        if learned.flat.left:
            notes.append(f"the estimator does not read {', '.join(learned.flat.left)}")
        return Fitted(schema=train.schema, outputs=train.outputs, learned=learned, notes=tuple(notes))

    def _unfitted(self, made: Any, output: Output, run: Run) -> Any:
        """A fresh estimator for one output."""
        from sklearn.base import clone, is_classifier, is_regressor

        name, where = self.estimator, "model.estimator"
        if not inspect.isclass(made) and not inspect.isroutine(made):
            one = imported.call(clone, made, name=name, where=where)
            one = imported.call(one.set_params, name=name, where="model.settings", **self.settings)
        else:
            told = {"output": output} if inspect.isfunction(made) and "output" in inspect.signature(made).parameters else {}
            one = imported.call(made, name=name, where="model.settings", **told, **self.settings)
        kind, rule = ("a classifier", is_classifier) if isinstance(output, Probability) else ("a regressor", is_regressor)
        if not all(callable(getattr(one, word, None)) for word in ("fit", "predict", "get_params")):
            remedy = "Name a class of scikit-learn, or a function that returns an unfitted estimator."
            raise SpecError(f"`{name}`", rule="an estimator with fit and predict", given=Told(_kind(one)), remedy=remedy, where=where)
        if not rule(one):
            raise SpecError(
                f"the estimator of `{output.target}`",
                rule=f"{kind}, for {'classes' if isinstance(output, Probability) else 'numbers'}",
                given=Told(_kind(one)),
                remedy=f"Name {kind}; for several kinds of targets, a function `make(output)` that gives one for each.",
                where=where,
            )
        if isinstance(output, Probability) and not callable(getattr(one, "predict_proba", None)):
            given = Told(f"{_kind(one)} without predict_proba")
            raise SpecError(f"`{name}`", rule="a classifier that gives probabilities", given=given, remedy=_nearest(one), where=where)
        unset = sorted(key for key, value in one.get_params().items() if key.rpartition("__")[2] == "random_state" and value is None)
        return one.set_params(**{key: run.seed_for(f"fit: {key} for {output.target}") for key in unset})

    def _fit(self, unfitted: list[Any], targets: list[Target], train: Encoded, valid: Encoded, run: Run, *, keep: bool) -> Estimated:
        from sklearn.base import clone

        flat = Flat.of(train, impute=not keep)
        x_ND = flat.matrix(train.arrays)
        estimators: dict[str, Any] = {}
        for position, (fresh, target) in enumerate(zip(unfitted, targets, strict=True)):
            one: Any = clone(fresh)
            x_nD = x_ND if len(target) == len(x_ND) else x_ND[target.at]
            weights = {} if train.weights is None or np.allclose(target.w, 1) else self._weights(one, target.w)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                imported.call(one.fit, x_nD, target.y, name=self.estimator, where="model.estimator", **weights)
            estimators[target.output.array] = one
            run.emit("progress", "fit", f"{_kind(one)} for {target.output.target}", done=position + 1, total=len(targets))
        examples = (valid if len(valid) else train).arrays
        some = {name: array[:ROWS] for name, array in examples.items()}
        if keep and flat.numbers and any(one.missing for one in train.schema.fields):
            some["numbers"] = with_gaps(some["numbers"])
        return Estimated(name=self.estimator, outputs=train.outputs, flat=flat, estimators=estimators, examples=some)

    def _weights(self, one: Any, w_n: NDArray[np.float64]) -> dict[str, Any]:
        """The weights as the argument of fit: of a pipeline, those of its last step."""
        from sklearn.pipeline import Pipeline
        from sklearn.utils.validation import has_fit_parameter

        last, name = one, "sample_weight"
        while isinstance(last, Pipeline):
            step, last = last.steps[-1]
            name = f"{step}__{name}" if last is not one else name
        if not has_fit_parameter(last, "sample_weight"):
            remedy = "Set data.weight.use to evaluate, leave data.weight out, or choose another estimator."
            raise DataError(f"the weights of rows for {_kind(last)}", rule="left out", given=Told("weights that differ"), remedy=remedy)
        return {name: w_n}


class Estimated(Struct, frozen=True, kw_only=True, dict=True):
    """Fitted estimators by output array, behind one matrix. The export is made once: a large forest takes its time."""

    name: str
    outputs: tuple[Output, ...]
    flat: Flat
    estimators: dict[str, Any]
    examples: Arrays

    def run(self, arrays: Arrays) -> Arrays:
        """Probabilities in the order of the classes, or values, by the estimators themselves."""
        x_ND = self.flat.matrix(arrays)
        made: Arrays = {}
        for output in self.outputs:
            one = self.estimators[output.array]
            shape = (len(x_ND), width(output)) if isinstance(output, Probability) else (len(x_ND),)
            made[output.array] = np.zeros(shape, dtype=np.float32)
            if not len(x_ND):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if isinstance(output, Probability):
                    made[output.array][:, one.classes_] = one.predict_proba(x_ND)
                else:
                    made[output.array][:] = np.asarray(one.predict(x_ND)).reshape(-1)
        return made

    def export(self) -> Export:
        """The matrix as one graph, each estimator as another.

        Raises:
            FermionError: skl2onnx cannot convert an estimator, or the graph answers otherwise.
        """
        return self._export

    @functools.cached_property
    def _export(self) -> Export:
        graphs: dict[str, bytes] = {}
        steps: list[Step] = []
        x = "numbers"
        if not self.flat.plain:
            nodes = Nodes("matrix")
            graphs["matrix"] = nodes.finish({"matrix": self.flat.nodes(nodes)}, shapes={"matrix": (self.flat.width,)})
            steps.append(Onnx(graph="matrix", inputs={name: name for name in self.flat.reads}, outputs={"matrix": "matrix"}))
            x = "matrix"
        for position, output in enumerate(self.outputs):
            name = f"estimator-{position}" if len(self.outputs) > 1 else "estimator"
            graphs[name] = self._graph(output)
            steps.append(Onnx(graph=name, inputs={"x": x}, outputs={"answer": output.array}))
        export = Export(graphs=graphs, steps=tuple(steps), tolerance=TOLERANCE)
        try:
            check_parity(export, self.examples, imported.call(self.run, self.examples, name=self.name))
        except SpecError:
            raise
        except FermionError as differs:
            one = next(iter(self.estimators.values()))
            raise FermionError(
                f"the estimator `{self.name}`",
                rule=f"exported within {TOLERANCE:g} of itself",
                given=Told(f"{differs.given} on {len(next(iter(self.examples.values())))} real rows"),
                remedy=_nearest(one) if _known(one) else "Set model.missing to median, or scale the numbers before it.",
            ) from None
        return export

    def _graph(self, output: Output) -> bytes:
        """x (N, D) -> answer: (N, K) with a column of zeros for each class that training lacked, or (N,)."""
        onnx: Any = lazy.load("onnx", extra="train")
        skl2onnx: Any = lazy.load("skl2onnx", extra="sklearn")
        types: Any = lazy.load("skl2onnx.common.data_types", extra="sklearn")
        one, classes = self.estimators[output.array], isinstance(output, Probability)
        try:
            model = skl2onnx.to_onnx(
                one,
                initial_types=[("x", types.FloatTensorType([None, self.flat.width]))],
                options={"zipmap": False} if classes else None,
                target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
            )
        except Exception as broken:  # its converters raise whatever they like
            raise FermionError(
                f"the estimator `{self.name}`",
                rule="one that skl2onnx converts",
                given=Told(f"{_kind(one)}: {_reason(broken)}"),
                remedy=_nearest(one),
            ) from broken
        graph, helper = model.graph, onnx.helper
        raw, answer = graph.output[1 if classes else 0].name, "answer"
        if classes:
            place_CK = np.zeros((len(one.classes_), width(output)), dtype=np.float32)
            place_CK[np.arange(len(one.classes_)), one.classes_] = 1
            last = helper.make_node("MatMul", [raw, "answer_constant"], [answer])
            graph.initializer.append(onnx.numpy_helper.from_array(place_CK, "answer_constant"))
        else:
            last = helper.make_node("Reshape", [raw, "answer_constant"], [answer])
            graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1], dtype=np.int64), "answer_constant"))
        graph.node.append(last)
        del graph.output[:]
        shape = ["batch", width(output)] if classes else ["batch"]
        graph.output.append(helper.make_tensor_value_info(answer, 1, shape))
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def with_gaps(x_NF: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every second row with one number less: where requests may lack a number, the rows that prove an export do.

    >>> with_gaps(np.ones((4, 2), dtype=np.float32)).tolist()
    [[1.0, 1.0], [nan, 1.0], [1.0, 1.0], [1.0, nan]]
    """
    x_NF = x_NF.copy()
    rows = np.arange(1, len(x_NF), 2)
    x_NF[rows, rows // 2 % x_NF.shape[1]] = np.nan
    return x_NF


def _takes_gaps(one: Any) -> bool:
    """Whether the estimator says that it can take NaN; in a pipeline, every step up to one that fills them."""
    from sklearn.pipeline import Pipeline
    from sklearn.utils import get_tags

    for step in [part for _, part in one.steps if part != "passthrough"] if isinstance(one, Pipeline) else [one]:
        if not get_tags(step).input_tags.allow_nan:
            return False
        if type(step).__module__.startswith("sklearn.impute"):
            return True
    return True


def _kind(one: Any) -> str:
    return type(one).__name__


def _known(one: Any) -> bool:
    return any(start in repr(one) for start in NEAREST)


def _nearest(one: Any) -> str:
    named = repr(one)
    near = next((remedy for start, remedy in NEAREST.items() if start in named), "")
    return near or "Use another estimator of scikit-learn that skl2onnx supports, or `model: {type: trees}`."


def _reason(broken: BaseException) -> str:
    text = " ".join(str(broken).split())
    return text.split(". ")[0].split(" with name=")[0][:120] or type(broken).__name__
