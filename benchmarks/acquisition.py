"""Rank correlation over recipes between what acquisition changes leave on the source and the true AUROC on the target.

    python -m benchmarks.acquisition results/acquisition [more run folders of one pair of hospitals]

Configurations are points, their seeds averaged. Printed whatever it is, near zero too: with few recipes the interval is wide.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.frames import load_run

PREDICTORS = ("acquisition_auroc/source/mean", "acquisition_accuracy/source/mean", "auroc/source_val")
TRUTH = "auroc/target"
DRAWS = 2000


def interval(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of Spearman's correlation over bootstrap draws of configurations."""
    draws = np.random.default_rng(0).integers(0, len(truth), (DRAWS, len(truth)))
    values = [spearmanr(predicted[draw], truth[draw]).statistic for draw in draws if len({*draw}) > 2]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    for folder in parser.parse_args().runs:
        means = load_run(folder).means
        print(f"{folder}: {len(means)} configurations")
        for name in PREDICTORS:
            if name not in means or TRUTH not in means:
                print(f"  {name}: not recorded")
                continue
            known = means[[name, TRUTH]].dropna()
            if len(known) < 4:
                print(f"  {name}: {len(known)} configurations have it; four are needed")
                continue
            predicted, truth = known[name].to_numpy(), known[TRUTH].to_numpy()
            low, high = interval(predicted, truth)
            print(
                f"  {name}: Spearman {spearmanr(predicted, truth).statistic:.2f} ({low:.2f} to {high:.2f}) with {TRUTH}"
            )


if __name__ == "__main__":
    main()
