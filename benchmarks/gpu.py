"""Every GPU figure of the project as JSON lines, within about five minutes on one card.

    python -m benchmarks.gpu                       # all parts
    python -m benchmarks.gpu --only train texture  # some of them
    python -m benchmarks.gpu --rehearse            # the same script at tiny sizes on the CPU: tests it, measures nothing

Needs torch 2.11 or newer and this source tree; Ray, Optuna, torchattacks, pydantic and ruamel.yaml may be missing (figures of
torchattacks are then left out). The first line names the device. A part that fails writes a line with its error, the others go on,
and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks import gpu_attacks, gpu_generator, gpu_texture, gpu_training
from benchmarks.gpu_sizes import FULL, REHEARSAL, Sizes
from sweep.core.devices import device_facts
from sweep.core.process_settings import keep_pages

Part = Callable[[Sizes], Iterator[dict[str, Any]]]
PARTS: dict[str, Part] = {
    "train": gpu_training.train,
    "seeds": gpu_training.seeds,
    "texture": gpu_texture.texture,
    "epsilon": gpu_attacks.epsilon,
    "generator": gpu_generator.generator,
}


@dataclass
class Output:
    """Writes lines as they come; `failed` counts the parts that raised."""

    failed: int = 0

    def line(self, **values: Any) -> None:
        """One JSON line."""
        print(json.dumps(values), flush=True)

    def part(self, name: str, sizes: Sizes) -> None:
        """Run one part; what it raises becomes a line."""
        begin = time.perf_counter()
        try:
            for values in PARTS[name](sizes):
                self.line(part=name, **values)
        except Exception as error:  # noqa: BLE001 - whatever one part raises, the others are still worth their figures
            self.failed += 1
            traceback.print_exc(file=sys.stderr)
            self.line(part=name, error=f"{type(error).__name__}: {error}")
        self.line(part=name, seconds=round(time.perf_counter() - begin, 1))


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen parts; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--rehearse", action="store_true", help="tiny sizes on the CPU: tests the script, measures nothing"
    )
    options = parser.parse_args(arguments)
    if not options.rehearse and not torch.cuda.is_available():
        print("no CUDA device; --rehearse runs this script at tiny sizes on the CPU", file=sys.stderr)
        return 2
    sizes = REHEARSAL if options.rehearse else FULL
    keep_pages()
    output = Output()
    facts = device_facts(sizes.device)
    output.line(part="device", torch=torch.__version__, rehearsal=options.rehearse, **facts)
    for name in options.only:
        output.part(name, sizes)
    return int(output.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
