"""Loading weights from a file into a backbone; a file that does not fit is refused, naming what is missing."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sweep.core.errors import InputError, first_line
from sweep.models.trunk import MESSAGE_LETTERS

_WRAPPERS = ("state_dict_ema", "state_dict", "model_state", "model")  # what training scripts put around the tensors
# Modules of the `robustness` package's wrapper, in which robust ImageNet models (madrylab) are published; `attacker` holds the network again.
_ROBUSTNESS = frozenset({"model", "attacker", "normalizer"})
_SHOWN = 4  # keys named in an error message; the rest are counted


@dataclass(frozen=True)
class WeightsReport:
    """Source of the weights and what was not loaded: `left_random` and `unused` are tensor names."""

    source: str
    loaded: int
    left_random: tuple[str, ...]
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.loaded:
            return f"{self.source}: all {len(self.left_random)} tensors"
        random = f"{len(self.left_random)} left random ({_some(self.left_random)})"
        unused = f", {len(self.unused)} of the file unused ({_some(self.unused)})" if self.unused else ""
        return f"weights from {self.source}: {self.loaded} tensors loaded, {random}{unused}"


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a `.safetensors` or a PyTorch file; only tensors are unpickled.

    Raises InputError when the file is absent, unreadable or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such weights file", "give the path of a .safetensors or .pth file")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as mistake:
        problem = f"not a readable weights file ({first_line(mistake, MESSAGE_LETTERS)})"
        raise InputError(path, problem, "save the state dict alone, best as .safetensors") from None
    return _tensors(path, state)


def load_weights(
    module: nn.Module, path: Path, *, head_prefixes: Iterable[str] = (), cut_prefixes: Iterable[str] = ()
) -> WeightsReport:
    """Copy the file's tensors into `module`, names and shapes matching exactly.

    Only keys under `head_prefixes` (the published classifier) and `cut_prefixes` (layers this backbone leaves out) may
    stay unused. Raises InputError naming the file, the keys that are missing, unexpected or of another shape, the fix.
    """
    state = _translated(module, read_state(path))
    skip = (*_dotted(head_prefixes), *_dotted(cut_prefixes))
    unused = tuple(key for key in state if key.startswith(skip)) if skip else ()
    state = {key: value for key, value in state.items() if key not in unused}
    _refuse_misfits(path, module.state_dict(), state)
    module.load_state_dict(state, strict=False)
    return WeightsReport(str(path), len(state), (), unused)


def _tensors(path: Path, state: object) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
            break
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(path, "holds no state dict (names with tensors)", "save model.state_dict()")
    return _without_wrapper({str(key).removeprefix("module."): value for key, value in state.items()})


def _without_wrapper(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's own tensors of a checkpoint of the `robustness` package; any other state as it is."""
    modules = {key.partition(".")[0] for key in state}
    if not {"model", "attacker"} <= modules <= _ROBUSTNESS:
        return state
    return {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}


def _translated(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's own translation for the module's family: old key names, position embeddings of another picture size."""
    translate: Callable | None = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    if translate is None or not type(module).__module__.startswith("timm."):
        return state
    return translate(state, module)


def _dotted(prefixes: Iterable[str]) -> tuple[str, ...]:
    return tuple(prefix + "." for prefix in prefixes)


def _refuse_misfits(path: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    # A batch counter is only read when momentum is None; old files lack it.
    missing = [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in found if key not in wanted]
    misshapen = [
        f"{key} is {list(found[key].shape)}, the backbone has {list(value.shape)}"
        for key, value in wanted.items()
        if key in found and found[key].shape != value.shape
    ]
    parts = [("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen)]
    problems = [f"{len(keys)} {what}: {_some(keys)}" for what, keys in parts if keys]
    if problems:
        fix = "name the backbone that these weights belong to"
        if missing and not unexpected and not misshapen:
            fix = "give the complete file, or a backbone cut to what it holds such as resnet18_layer3"
        raise InputError(path, f"weights do not fit ({'; '.join(problems)})", fix)


def _some(keys: Iterable[str]) -> str:
    keys = list(keys)
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more
