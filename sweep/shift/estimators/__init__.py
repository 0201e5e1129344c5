"""Estimators of target performance without target labels: `ESTIMATORS` lists those of one model, NumPy only.

Each takes an `Evidence` and returns the metrics that it can estimate; NaN where its premises leave a metric undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sweep.shift.estimates import Estimate
from sweep.shift.estimators import (
    average_confidence,
    cbpe,
    classwise_thresholded_confidence,
    confusion_difference,
    difference_of_confidences,
    nuclear_norm,
    pape,
    seed_disagreement,
    thresholded_confidence,
)
from sweep.shift.evidence import Evidence


@dataclass(frozen=True)
class Estimator:
    """One row: the function, what its source is, whether it needs several seeds, and what it assumes."""

    function: Callable[[Evidence], Estimate]
    source: str
    assumes: str
    needs_seeds: bool = False

    def __call__(self, evidence: Evidence) -> Estimate:
        return self.function(evidence)


_CALIBRATED = "probabilities calibrated at the source stay calibrated at the target"
ESTIMATORS: Mapping[str, Estimator] = {
    "ac": Estimator(average_confidence.estimate, "average confidence; arXiv 2407.08649", _CALIBRATED),
    "doc": Estimator(
        difference_of_confidences.estimate,
        "difference of confidences; Guillory et al. 2021",
        "accuracy falls by as much as mean confidence does",
    ),
    "atc": Estimator(
        thresholded_confidence.estimate,
        "average thresholded confidence; arXiv 2201.04234",
        "images above one threshold of confidence are right, at the source and at the target",
    ),
    "classwise_atc": Estimator(
        classwise_thresholded_confidence.estimate,
        "ATC inside each predicted class; arXiv 2507.22776",
        "as ATC for each predicted class; fails where the prevalence changes",
    ),
    "cm_doc": Estimator(
        confusion_difference.estimate,
        "DoC inside each predicted class; arXiv 2507.22776",
        "as DoC for each predicted class; fails where the prevalence changes",
    ),
    "cbpe": Estimator(cbpe.estimate, "confidence-based performance estimation; arXiv 2401.08348", _CALIBRATED),
    "pape": Estimator(
        pape.estimate,
        "CBPE with calibration weighted towards the target; arXiv 2401.08348",
        "labels depend on the logits alike at both hospitals, and the target's logits occur at the source",
    ),
    "disagreement": Estimator(
        seed_disagreement.estimate,
        "disagreement of seeds; Jiang et al. 2022",
        "the seeds of a recipe are calibrated as an ensemble",
        needs_seeds=True,
    ),
    "nuclear_norm": Estimator(
        nuclear_norm.estimate,
        "confidence and spread of predictions together; arXiv 2510.02956",
        "a score that ranks models, no metric",
    ),
}
