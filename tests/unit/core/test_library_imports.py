"""The science imports in a process that has neither Ray nor Optuna nor torchattacks."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDERS = ("attacks", "core", "evaluation", "losses", "models", "synth", "training")
PRIVATE_TO_RAY = {"sweep.core.ray_internals", "sweep.core.ray_address"}
PROGRAM = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "optuna", "torchattacks"):
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

sys.meta_path.insert(0, Refuse())
for name in sys.argv[1:]:
    importlib.import_module(name)

import torch
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.models.classifier import ClassifierSpec, build_classifier

model = build_classifier(ClassifierSpec("small_cnn", 2, 64), seed=0)
result = epsilon_sweep(model, torch.rand(2, 1, 64, 64), torch.tensor([0, 1]), ["fgsm", "pgd", "square5"], ["1/255"])
assert result.logits.shape == (2, 2)
"""


def test_the_science_imports_and_runs_without_ray_optuna_and_torchattacks():
    files = [path for folder in FOLDERS for path in sorted((ROOT / "sweep" / folder).rglob("*.py"))]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files}
    command = [sys.executable, "-c", PROGRAM, *sorted(names - PRIVATE_TO_RAY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
