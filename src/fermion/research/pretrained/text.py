"""Texts as embeddings of a Transformer whose weights others trained.

Legend of shapes: B rows, L tokens, D features.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from fermion.core import lazy
from fermion.research.graphs import NO_END
from fermion.research.pretrained.places import Place, corrupt

Pool = Literal["mean", "first", "max"]


class TextBackbone(nn.Module):
    """Tokens -> one vector per text: (B, L), (B, L) -> (B, D), the pooled last layer of an encoder, of length 1.

    `steps` gives the last layer itself (B, L, D). Pooling is over real tokens only; "first" is that of [CLS].

    Reimers, Gurevych: Sentence-BERT, EMNLP 2019 (mean pooling and length 1).
    """

    def __init__(self, place: Place, pool: Pool) -> None:
        super().__init__()
        self.net, self.pool = load(place), pool
        said = self.net.config
        self.features = int(said.hidden_size)
        # Some count their positions from behind the one of padding (RoBERTa).
        first = getattr(getattr(self.net, "embeddings", None), "padding_idx", None)
        self.most_steps = int(getattr(said, "max_position_embeddings", NO_END)) - (0 if first is None else int(first) + 1)
        self.vocabulary = int(said.vocab_size)

    def steps(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, L, D) one vector per token."""
        return self.net(input_ids=ids_BL, attention_mask=mask_BL.long()).last_hidden_state

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        return self.pooled(self.steps(ids_BL, mask_BL), mask_BL)

    def pooled(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, D) the tokens of each text as one vector of length 1."""
        real_BL1 = mask_BL.unsqueeze(2)
        if self.pool == "first":
            x_BD = x_BLD[:, 0]
        elif self.pool == "max":
            x_BD = x_BLD.masked_fill(~real_BL1, float("-inf")).amax(1)
        else:
            x_BD = (x_BLD * real_BL1).sum(1) / real_BL1.sum(1).clamp(min=1)
        return F.normalize(x_BD, dim=1)


def load(place: Place) -> Any:
    """The net of a folder of the `transformers` library, without its task's head; no code of the folder runs.

    Raises:
        DataError: the folder is not whole, or nothing that this version of the library knows.
    """
    transformers = lazy.load("transformers", extra="pretrained")
    logging = lazy.load("transformers.utils.logging", extra="pretrained")
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        found, told = transformers.AutoModel.from_pretrained(
            str(place.folder), local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
    except Exception as bad:  # the library raises what its parsers raise: OSError, ValueError, KeyError, SafetensorError, ...
        raise corrupt(place.name, f"{type(bad).__name__}: {bad}") from None
    finally:
        logging.set_verbosity(before)
        logging.enable_progress_bar()
    absent = sorted(name for name in told["missing_keys"] if "pooler" not in name)
    if absent:
        raise corrupt(place.name, f"{len(absent)} weights are missing, the first is {absent[0]}")
    return found.float().eval()
