"""A model as an ONNX file for programs without PyTorch, checked against the network before it is written (extra: onnx)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from sweep.core.errors import InputError, first_line
from sweep.deployment.combine import Ensemble
from sweep.models.classifier import Classifier

_NEEDS = ("onnx", "onnxscript", "onnxruntime")
_TOLERANCE = 1e-3  # of logits: ONNX Runtime sums convolutions in another order


def check_installed() -> None:
    """InputError where the extra is not installed."""
    lacking = [name for name in _NEEDS if find_spec(name) is None]
    if lacking:
        raise InputError("--onnx", f"{', '.join(lacking)} not installed", "pip install 'recipe-finder[onnx]'")


def onnx_bytes(model: Classifier | Ensemble, image_px: int) -> bytes:
    """The network with its weights: input "grey" float32 [N, 1, px, px] in [0, 1], output "logits" float32 [N, K], any N.

    Raises InputError where ONNX lacks an operation of the network, or where ONNX Runtime's logits differ from PyTorch's.
    """
    check_installed()
    example = torch.rand(2, 1, image_px, image_px, generator=torch.Generator().manual_seed(0))
    with TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                model.eval(),
                (example,),
                path,
                input_names=["grey"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("images")},),
                dynamo=True,
                external_data=False,
            )
        except Exception as reason:  # the exporter raises its own kinds and those of torch.export  # noqa: BLE001
            raise InputError(
                "--onnx", f"the network cannot be written as ONNX ({first_line(reason, 200)})", "leave --onnx out"
            ) from None
        content = path.read_bytes()
    _compare(content, model, example)
    return content


def _compare(content: bytes, model: Classifier | Ensemble, example: torch.Tensor) -> None:
    import onnxruntime

    images = torch.cat([example, example.flip(0)[:1]])  # another number of images than it was traced with
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"grey": images.numpy()})
    except Exception as reason:  # ONNX Runtime has exceptions of its own for every kind of fault  # noqa: BLE001
        problem = f"ONNX Runtime cannot run the network ({' '.join(str(reason).split())[:160]})"
        raise InputError("--onnx", problem, "leave --onnx out") from None
    with torch.inference_mode():
        wanted = model(images).numpy()
    apart = float(np.abs(found - wanted).max())
    if not apart <= _TOLERANCE * max(1.0, float(np.abs(wanted).max())):
        raise InputError("--onnx", f"ONNX Runtime's logits differ by {apart:.2g}", "leave --onnx out")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's chatter; its failures are raised."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
