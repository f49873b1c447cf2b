"""Parts by name: columns, models, encoders, augmentations, engines. Plugins add theirs by entry points; only what is named is imported."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from fermion.core.errors import SpecError, Told, UsageError, did_you_mean

# The package's own parts; those of plugins are the entry points of fermion.columns, fermion.models, fermion.augments and fermion.engines.
# A service finds its columns here and need not read what is installed.
OWN = {
    "columns": {
        "number": "fermion.columns.number:Number",
        "category": "fermion.columns.category:Category",
        "text": "fermion.columns.text:Text",
        "set": "fermion.columns.set:Set",
        "vector": "fermion.columns.vector:Vector",
        "geo": "fermion.columns.geo:Geo",
        "flag": "fermion.columns.flag:Flag",
        "time": "fermion.columns.time:Time",
        "image": "fermion.columns.image:Image",
        "sequence": "fermion.columns.sequence:Sequence",
        "audio": "fermion.columns.audio:Audio",
    },
    "targets": {
        "count": "fermion.columns.count:Count",
        "horizon": "fermion.columns.horizon:Horizon",
        "labels": "fermion.columns.labels:Labels",
        "ordinal": "fermion.columns.ordinal:Ordinal",
        "quantiles": "fermion.columns.quantiles:Quantiles",
        "survival": "fermion.columns.survival:Survival",
        "tags": "fermion.columns.tags:Tags",
    },
    "models": {
        "baseline": "fermion.research.baseline:Baseline",
        "linear": "fermion.research.linear:Linear",
        "trees": "fermion.research.trees:Trees",
        "xgboost": "fermion.research.xgb:Xgboost",
        "catboost": "fermion.research.cat:Catboost",
        "blend": "fermion.research.blend:Blend",
        "folded": "fermion.research.folded:Folded",
        "tfidf": "fermion.research.tfidf:Tfidf",
        "frozen": "fermion.research.frozen:Frozen",
        "knn": "fermion.research.knn:Knn",
        "mlp": "fermion.research.tabular:Mlp",
        "realmlp": "fermion.research.realmlp:RealMlp",
        "tabm": "fermion.research.tabm:TabM",
        "ft": "fermion.research.fttransformer:FtTransformer",
        "cnn": "fermion.research.vision:Cnn",
        "net": "fermion.research.net:Network",
        "sklearn": "fermion.research.sklearn_model:Sklearn",
        "torch": "fermion.research.torch_model:Torch",
        "keras": "fermion.research.keras_model:Keras",
        "onnx": "fermion.research.onnx_model:OnnxGraph",
    },
    "encoders": {
        "bag": "fermion.research.encoders.recurrent:Bag",
        "cnn": "fermion.research.encoders.convolutional:Cnn",
        "convnext": "fermion.research.encoders.convolutional:ConvNeXt",
        "facts": "fermion.research.encoders.plain:Facts",
        "pretrained": "fermion.research.encoders.pretrained:Pretrained",
        "recurrent": "fermion.research.encoders.recurrent:Recurrent",
        "resnet": "fermion.research.encoders.convolutional:ResNet",
        "rocket": "fermion.research.encoders.rocket:Rocket",
        "transformer": "fermion.research.encoders.attentive:Transformer",
        "vector": "fermion.research.encoders.plain:Vector",
    },
    "combiners": {
        "attention": "fermion.research.encoders.combiners:Attention",
        "concat": "fermion.research.encoders.combiners:Concat",
        "gated": "fermion.research.encoders.combiners:Gated",
    },
    "augments": {
        "background": "fermion.research.sound_augment:Background",
        "blur": "fermion.research.picture_augment:Blur",
        "colour": "fermion.research.picture_augment:Colour",
        "crop": "fermion.research.picture_augment:Crop",
        "cutmix": "fermion.research.mixing:Cutmix",
        "cutout": "fermion.research.picture_augment:Cutout",
        "distort": "fermion.research.picture_augment:Distort",
        "flip": "fermion.research.picture_augment:Flip",
        "frequencymask": "fermion.research.sound_augment:FrequencyMask",
        "jitter": "fermion.research.series_augment:Jitter",
        "mixup": "fermion.research.mixing:Mixup",
        "noise": "fermion.research.table_augment:Noise",
        "oversample": "fermion.research.table_augment:Oversample",
        "pitch": "fermion.research.sound_augment:Pitch",
        "randaugment": "fermion.research.randaugment:RandAugment",
        "rotate": "fermion.research.picture_augment:Rotate",
        "scaling": "fermion.research.series_augment:Scaling",
        "shift": "fermion.research.series_augment:Shift",
        "slice": "fermion.research.series_augment:Slice",
        "smote": "fermion.research.table_augment:Smote",
        "speed": "fermion.research.series_augment:Speed",
        "synonyms": "fermion.research.text_augment:Synonyms",
        "timemask": "fermion.research.sound_augment:TimeMask",
        "tokendropout": "fermion.research.text_augment:TokenDropout",
        "tokenswap": "fermion.research.text_augment:TokenSwap",
        "typos": "fermion.research.text_augment:Typos",
        "undersample": "fermion.research.table_augment:Undersample",
        "warp": "fermion.research.series_augment:Warp",
    },
    "engines": {"inline": "fermion.core.engine:Inline", "processes": "fermion.core.engine:Processes"},
}

# Parts that a manifest names and nobody writes: columns wrapped around others, made of `repair` and `private` in the project file.
WITHIN = {
    "columns": {
        "repaired": "fermion.columns.repair:Repaired",
        "hashed": "fermion.columns.private:Hashed",
        "redacted": "fermion.columns.private:Redacted",
    }
}

# Two groups that the project file names in one place: a column means something as an input, or as a target.
TOGETHER = {"meanings": ("columns", "targets")}

# What each group is called in a message.
_KINDS = {
    "columns": "column type",
    "meanings": "column type",
    "targets": "target type",
    "models": "model",
    "augments": "augmentation",
    "encoders": "encoder",
    "combiners": "combiner",
    "engines": "engine",
}


def names(group: str) -> tuple[str, ...]:
    """The known names of a group, sorted.

    >>> "number" in names("columns")
    True
    """
    return tuple(sorted(name for one in TOGETHER.get(group, (group,)) for name in _parts(one)))


def called(group: str) -> str:
    """What a part of this group is called in a message, with its article.

    >>> called("models"), called("columns")
    ('a model', 'a column type')
    """
    word = _KINDS.get(group, group)
    return f"{'an' if word[:1] in 'aeiou' else 'a'} {word}"


def find(group: str, name: str, *, where: str = "") -> Any:
    """The class that is registered under `fermion.GROUP` as `name`.

    >>> find("columns", "number").__name__
    'Number'

    Raises:
        SpecError: there is none, or it cannot be imported.
    """
    group = next((one for one in TOGETHER.get(group, (group,)) if name in _parts(one)), group)
    own = OWN.get(group, {}).get(name) or WITHIN.get(group, {}).get(name)
    part = Part(target=own) if own else _parts(group).get(name)
    kind = _KINDS.get(group, group)
    if part is None:
        known = names(group)
        raise SpecError(f"the {kind}", rule=f"one of {', '.join(known)}", given=name, remedy=did_you_mean(name, known), where=where)
    module, _, attribute = part.target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as broken:
        raise SpecError(
            f"the {kind} `{name}` of {part.package}",
            rule="importable",
            given=str(broken),
            remedy=f"Repair or remove {part.package}.",
            where=where,
        ) from broken


def read(group: str, given: Any, *, where: str = "") -> Any:
    """A part from what a file or a call says: a name, a mapping with its `type`, or the part itself.

    >>> read("columns", {"type": "number", "offset": 2.0}).offset, type(read("columns", "flag")).__name__
    (2.0, 'Flag')

    Raises:
        SpecError: there is no such part, or a setting is wrong.
    """
    if isinstance(given, str):
        given = {"type": given}
    if not isinstance(given, Mapping):
        return given
    settings = {str(name): value for name, value in given.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    name = str(settings.get("type", ""))
    found = find(group, name, where=where)
    try:
        return msgspec.convert(settings, found)
    except msgspec.ValidationError as bad:
        strange = re.search(r"unknown field `(.+?)`", str(bad))
        remedy = did_you_mean(strange[1], found.__struct_fields__) if strange else ""
        rule = "one of its fields with a fitting value"
        subject = f"a setting of the {_KINDS.get(group, group)} `{name}`"
        raise SpecError(subject, rule=rule, given=Told(str(bad)), remedy=remedy, where=where) from None


def package(group: str, name: str) -> tuple[str, str]:
    """The package that registered a name, and its version.

    >>> package("columns", "number")[0]
    'fermion'
    """
    if name in WITHIN.get(group, {}):
        return "fermion", ""
    part = _parts(group).get(name, Part(target="", package="unknown", version="unknown"))
    return part.package, part.version


class Part(Struct, frozen=True, kw_only=True):
    """Where a part is, `module:Name`, and which package brought it."""

    target: str
    package: str = "fermion"
    version: str = ""


@functools.cache
def _parts(group: str) -> dict[str, Part]:
    from importlib.metadata import entry_points

    found = {name: Part(target=target) for name, target in OWN.get(group, {}).items()}
    for entry in entry_points(group=f"fermion.{group}"):
        if entry.name in found and found[entry.name].target != entry.value:
            raise UsageError(
                f"the name `{entry.name}` in fermion.{group}",
                rule="registered once",
                given=[found[entry.name].target, entry.value],
                remedy="Uninstall one of the two packages.",
            )
        if entry.dist is not None:
            found[entry.name] = Part(target=entry.value, package=entry.dist.name, version=entry.dist.version)
    return found
