"""A colour module trained in one run starts another: its weights alone, as safetensors bytes."""

from __future__ import annotations

import torch
from torch import nn

from sweep.core.errors import InputError
from sweep.training.parts import colorizer_of, has_learned_colorizer

_PART = "colorizer."


def colorizer_bytes(model: nn.Module) -> bytes:
    """The colorizer's weights and statistics. Raises InputError when the colorizer has nothing to learn."""
    from safetensors.torch import save

    if not has_learned_colorizer(model):
        raise InputError(
            "colorizer", "has no weights to transfer", "choose a learned colorizer for the run it comes from"
        )
    state = colorizer_of(model).state_dict()
    return save({name: value.detach().cpu().contiguous() for name, value in state.items()})


def load_colorizer(model: nn.Module, data: bytes, where: str = "colorizer_from") -> None:
    """Give `model` the colorizer of `colorizer_bytes`, or that inside a whole classifier's safetensors.

    Raises InputError, naming `where`, when it is of another kind.
    """
    from safetensors.torch import load

    try:
        state = _of_the_colorizer(load(data))
    except Exception as cause:  # the reader's own error type is not public
        raise InputError(where, "is no colorizer file", "give one written by this project") from cause
    own = colorizer_of(model).state_dict()
    wrong = sorted({*own} ^ {*state} | {name for name in {*own} & {*state} if own[name].shape != state[name].shape})
    if wrong:
        raise InputError(
            where, f"holds another colorizer (differs in {_some(wrong)})", "use the same colorizer in both runs"
        )
    colorizer_of(model).load_state_dict(state)


def _of_the_colorizer(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The colorizer's own tensors: all of them, or of a whole classifier those under its name."""
    inside = {name.removeprefix(_PART): value for name, value in state.items() if name.startswith(_PART)}
    return inside or state


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
