"""A sweep config small enough for a test: two tiny networks on simulated scanners at 32 pixels."""

from __future__ import annotations

from pathlib import Path

TEXT = """\
name: tiny
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 40}
grid:
  colorizer: [none, pixelshuffle]
  synthetic_per_real: [0, 0.5]
fixed: {backbone: small_cnn, epochs: 2, batch_size: 16, lr: 0.002, generator: cgan, generator_networks: shared, generator_px: 32, generator_steps: 4, generator_width: 4}
seeds: 2
threats: {attacks: [fgsm, pgd], eps: [1/255, 4/255], images: 8}
"""


def write_config(folder: Path, text: str = TEXT) -> Path:
    """The sweep config as a file of its own."""
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path
