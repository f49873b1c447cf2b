"""Fermion: from raw data to a monitored AI service. One project file, one command, one portable bundle.

    fit(data, target=...)   learn, and get something that predicts, evaluates and saves
    load(path)              a bundle that answers rows
    serve(path)             a bundle behind HTTP
    Client(url)             asks a service
    FermionClassifier, FermionRegressor   the same behind scikit-learn's interface

Everything is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Client", "FermionClassifier", "FermionRegressor", "__version__", "fit", "load", "serve"]

if TYPE_CHECKING:
    from fermion.cloud.client import Client
    from fermion.practice.easy import fit, load, serve
    from fermion.practice.estimators import FermionClassifier, FermionRegressor

_WHERE = {
    "fit": "fermion.practice.easy",
    "load": "fermion.practice.easy",
    "serve": "fermion.practice.easy",
    "Client": "fermion.cloud.client",
    "FermionClassifier": "fermion.practice.estimators",
    "FermionRegressor": "fermion.practice.estimators",
}


# What a file inherits from is imported with it, so it is looked for first.
_NEEDS = {"FermionClassifier": "sklearn", "FermionRegressor": "sklearn"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fermion' has no attribute {name!r}")
    import importlib

    if name in _NEEDS:
        from fermion.core import lazy

        lazy.load(_NEEDS[name], extra="train")
    return getattr(importlib.import_module(_WHERE[name]), name)
