"""Every model of tables beside those of `test_models` keeps the contract of models."""

from __future__ import annotations

import pytest

from fermion.research.baseline import Baseline
from fermion.research.blend import Blend
from fermion.research.cat import Catboost
from fermion.research.folded import Folded
from fermion.research.knn import Knn
from fermion.research.linear import Linear
from fermion.research.trees import Trees
from fermion.research.xgb import Xgboost
from fermion.testing.models import KINDS, ModelContract

pytest.importorskip("xgboost", reason="needs the extra boosting")
pytest.importorskip("catboost", reason="needs the extra boosting")

BOOSTED = tuple(kind for kind in KINDS if kind != "survival")


class TestXgboost(ModelContract):
    model = Xgboost(threads=1, lr=0.2, patience=10)
    kinds = BOOSTED


class TestCatboost(ModelContract):
    model = Catboost(threads=1, depth=4, rounds=60)
    kinds = BOOSTED


class TestKnn(ModelContract):
    model = Knn()


class TestBlend(ModelContract):
    model = Blend(members=(Linear(), Trees(threads=1, rounds=20), Blend(members=(Linear(l2=9.0), Baseline()))))
    kinds = None  # it is the baseline that learns what the others cannot


class TestFolded(ModelContract):
    model = Folded(model=Linear(), folds=3)


class TestBlendOfFolds(ModelContract):
    model = Blend(members=(Linear(), Trees(threads=1, rounds=20)), folds=2)
    kinds = BOOSTED
