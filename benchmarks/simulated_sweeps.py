"""Simulated sweeps whose truth is known, and what the analysis says of them: one repeat -> a dictionary of figures.

Scores are normal: a recipe's skill separates the classes, patients and images are easy or hard for all recipes, some images are hard for one
recipe, and every seed has luck of its own. The true AUROC is then a normal probability (binormal model) averaged over the seeds' luck.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from analysis.comparisons import sign_flip_test
from analysis.intervals import Resampled, SeedPrior, interval, noise_of, paired, patient_weights, resample
from analysis.joint_noise import front_probability, noise_covariances, seed_correlation, true_scores
from analysis.outcomes import Outcomes, auroc
from analysis.seed_variance import difference_prior
from analysis.selection_bias import corrected_interval, leave_seed_out, repeat_selection
from sweep.core.pareto import dominated_by_any
from sweep.core.seeds import rng

RECIPES = 5  # equal ones; one more is better by EFFECT
EFFECT = 0.12
SKILL = 1.2  # distance of the classes, of seed luck LUCK around it
LUCK = 0.25
PATIENT, IMAGE, RECIPE_IMAGE, SEED_IMAGE = 0.6, 0.4, 0.5, 0.5  # standard deviations of what makes an image easy or hard
DRAWS, FLIPS, POSTERIOR_DRAWS = 400, 1000, 200
VIEWS = 3  # images a patient where there are several
PRIOR_DF = 4.0  # as analysis.estimates counts the other recipes
FRONT_RECIPES, FRONT_SPREAD = 12, 0.02


@dataclass(frozen=True)
class Cell:
    """One design: seeds, test images, share of positives, images a patient."""

    seeds: int
    images: int
    positives: float
    views: int

    @property
    def name(self) -> str:
        """Stable key in the results file."""
        return f"{self.seeds} seeds, {self.images} images, {self.positives:g} positive, {self.views} a patient"


@lru_cache
def true_auroc(skill: float = SKILL) -> float:
    """AUROC of a recipe on the population, averaged over seeds."""
    spread = np.sqrt(PATIENT**2 + IMAGE**2 + RECIPE_IMAGE**2 + SEED_IMAGE**2)
    skills = skill + LUCK * special.ndtri((np.arange(4001) + 0.5) / 4001)
    return float(special.ndtr(skills / (np.sqrt(2) * spread)).mean())


@lru_cache
def better_skill() -> float:
    """The skill whose AUROC is EFFECT higher."""
    return float(optimize.brentq(lambda skill: true_auroc(skill) - true_auroc() - EFFECT, SKILL, 6.0))


def simulated(draw: np.random.Generator, cell: Cell, skills: np.ndarray) -> list[Outcomes]:
    """Outcomes of recipes of these skills on one test set."""
    patients = int(np.ceil(cell.images / cell.views))
    positive = np.arange(patients) < max(2, round(patients * cell.positives))
    of_patient = np.repeat(np.arange(patients), cell.views)[: cell.images]
    labels = positive[of_patient].astype(int)
    shared = draw.normal(0, PATIENT, patients)[of_patient] + draw.normal(0, IMAGE, cell.images)
    names = np.array([f"i{n:04d}" for n in range(cell.images)])
    groups = np.array([f"p{n:04d}" for n in of_patient])
    made = []
    for skill in skills:
        luck = skill + draw.normal(0, LUCK, (cell.seeds, 1))
        own = draw.normal(0, RECIPE_IMAGE, cell.images) + draw.normal(0, SEED_IMAGE, (cell.seeds, cell.images))
        score = luck * (labels - 0.5) + shared + own
        values = np.stack([np.zeros_like(score), score], axis=-1)
        made.append(Outcomes(names, groups, labels, tuple(range(cell.seeds)), values, np.ones(score.shape, dtype=bool)))
    return made


def with_priors(samples: list[Resampled]) -> tuple[list[Resampled], SeedPrior | None]:
    """The samples as a run would hold them, and the prior of their differences."""
    table = pd.DataFrame(np.array([sample.point for sample in samples]))
    scores = table.rename_axis("signature").rename_axis("seed", axis=1).stack()
    if len(samples[0].seeds) < 2:
        return samples, None
    df = len(samples) * (len(samples[0].seeds) - 1)
    prior = SeedPrior(float(table.var(axis=1, ddof=1).mean()), min(PRIOR_DF, df))
    return [replace(sample, prior=prior) for sample in samples], difference_prior(scores)


def repeat(cell: Cell, number: int) -> dict[str, float]:
    """One simulated sweep of a cell: hits and errors of everything the analysis says of it."""
    draw = rng(number, "statistics", cell.name)
    outcomes = simulated(draw, cell, np.array([SKILL] * RECIPES + [better_skill()]))
    samples, prior = with_priors([resample(one, auroc, draws=DRAWS, seed=number) for one in outcomes])
    truth, made = true_auroc(), interval(samples[0], limits=(0.0, 1.0))
    found: dict[str, float] = {
        "coverage": float(made.low <= truth <= made.high),
        "half width": made.half_width,
    }
    for name, other in (("false positive", 1), ("power", RECIPES)):
        difference = paired(samples[other], samples[0])
        if prior is not None:
            difference = replace(difference, prior=prior)
        found[name] = float(sign_flip_test(difference, flips=FLIPS) < 0.05)
        found[f"{name} of a pooled t"] = float(pooled_t(samples, other) < 0.05)
    return found | selection(outcomes[:RECIPES], samples[:RECIPES], truth, number)


def pooled_t(samples: list[Resampled], other: int) -> float:
    """P-value of a t-test with the residual variance of all recipes (known to be alike here) and the images' variance of the pair."""
    table = np.array([sample.point for sample in samples])
    residual = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    df = (len(table) - 1) * (table.shape[1] - 1)
    difference = replace(paired(samples[other], samples[0]), prior=None)
    seeds = 2 * float((residual**2).sum()) / df / table.shape[1] if df else 0.0
    total = noise_of(difference).shared + seeds
    reach = df * (total / seeds) ** 2 if seeds else np.inf
    return float(2 * stats.t.sf(abs(difference.point.mean()) / np.sqrt(total), reach))


def selection(outcomes: list[Outcomes], samples: list[Resampled], truth: float, seed: int) -> dict[str, float]:
    """The best of equal recipes, chosen on the target: error of the number as observed and as corrected, and whether intervals cover.

    `samples` were resampled from `outcomes` with this `seed`.
    """
    inside = np.stack([sample.draws for sample in samples], axis=2)
    weights = patient_weights(outcomes[0], len(inside), seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        outside = np.stack([auroc(one, (weights == 0).astype(float)) for one in outcomes], axis=2)
    repeated = repeat_selection(leave_seed_out(inside), outside)
    best = samples[int(np.argmax([sample.point.mean() for sample in samples]))]
    raw = interval(best, limits=(0.0, 1.0))
    fair = corrected_interval(repeated, samples, limits=(0.0, 1.0))
    return {
        "winner's bias": raw.estimate - truth,
        "winner's coverage": float(raw.low <= truth <= raw.high),
        "corrected bias": fair.estimate - truth,
        "corrected coverage": float(fair.low <= truth <= fair.high),
    }


def null_sweep(cell: Cell, number: int, recipes: int = 50) -> dict[str, float]:
    """The selection figures of a sweep of equal recipes."""
    draw = rng(number, "null sweep", cell.name)
    outcomes = simulated(draw, cell, np.full(recipes, SKILL))
    samples, _ = with_priors([resample(one, auroc, draws=DRAWS, seed=number) for one in outcomes])
    return selection(outcomes, samples, true_auroc(), number)


def front(seeds: int, images: int, number: int) -> dict[str, float]:
    """Stated and true share of recipes on the front of (AUROC on the target, domain gap).

    Drawn from the posterior of the true scores, with the noise of the two metrics together or apart, and resampled around the observed scores.

    Images enter through the size of the noise that they leave in an AUROC alone; class mix and patients would change no more than that size.
    """
    draw = rng(number, "front", seeds, images)
    seed_noise, image_noise = LUCK * 0.2, 0.4 / np.sqrt(images)
    target = 0.75 + draw.normal(0, FRONT_SPREAD, FRONT_RECIPES)
    gap = 0.1 + draw.normal(0, FRONT_SPREAD, FRONT_RECIPES)
    steps = draw.normal(0, image_noise, (DRAWS, 1))
    recipes = []
    for one in range(FRONT_RECIPES):
        luck = draw.normal(0, seed_noise, seeds)
        own = draw.normal(0, image_noise / 2)
        point = target[one] + luck + own
        difference = gap[one] - luck - own + draw.normal(0, seed_noise / 4, seeds)
        drawn = steps + draw.normal(0, image_noise / 2, (DRAWS, 1))
        recipes.append([_sample(point, drawn), _sample(difference, -drawn)])
    variance = [float(np.mean([made[m].point.var(ddof=1) for made in recipes])) for m in (0, 1)]
    recipes = [
        [replace(one, prior=SeedPrior(v, PRIOR_DF)) for one, v in zip(made, variance, strict=True)] for made in recipes
    ]
    truth = ~dominated_by_any(np.stack([target, -gap], axis=1))
    observed = np.array([[made[m].point.mean() for m in (0, 1)] for made in recipes])
    together = noise_covariances(recipes, seed_correlation(recipes))
    apart = together * np.eye(2)
    roots = np.linalg.cholesky(together + 1e-12 * np.eye(2))
    noise = np.einsum("nij,bnj->bni", roots, draw.standard_normal((DRAWS, FRONT_RECIPES, 2)))
    drawn = {
        "together": true_scores(observed, together, draw, POSTERIOR_DRAWS),
        "apart": true_scores(observed, apart, draw, POSTERIOR_DRAWS),
        "resampled": observed + noise,
    }
    figures = {"front true": float(truth.mean())}
    for name, scores in drawn.items():
        stated = front_probability(scores * (1, -1))
        figures[f"front stated, {name}"] = float(stated.mean())
        figures[f"front Brier, {name}"] = float(((stated - truth) ** 2).mean())
    return figures


def _sample(point: np.ndarray, steps: np.ndarray) -> Resampled:
    draws = point + steps
    return Resampled(tuple(range(len(point))), point, draws, np.tile(point, (20, 1)), 20, 20)
