"""Run -> a methods paragraph that can be pasted into a paper, every statement taken from the run folder, with its references.

Only what the run did is written: a run without attacks says nothing of robustness. What the run folder cannot know (ethics, inclusion of
patients, how labels were made) is left to the authors; `analysis.checklist` lists it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from analysis import derived, metric_names, selection
from analysis.figures.figure import counted
from analysis.frames import Run
from analysis.ranking import objectives
from sweep.core.epsilon import parse_epsilon

REFERENCES = {
    "auroc": "Hanley JA, McNeil BJ. The meaning and use of the area under a receiver operating characteristic (ROC) curve. Radiology 1982;143:29-36.",
    "bca": "Efron B. Better bootstrap confidence intervals. J Am Stat Assoc 1987;82:171-185.",
    "moderated": "Smyth GK. Linear models and empirical Bayes methods for assessing differential expression in microarray experiments. Stat Appl Genet Mol Biol 2004;3:3.",
    "holm": "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 1979;6:65-70.",
    "bbc": "Tsamardinos I, Greasidou E, Borboudakis G. Bootstrapping the out-of-sample predictions for efficient and accurate cross-validation. Mach Learn 2018;107:1895-1922.",
    "false": "Christodoulou E, et al. False promises in medical imaging AI? Assessing validity of outperformance claims. arXiv:2505.04720, 2025.",
    "race": "Ramdas A, Grunwald P, Vovk V, Shafer G. Game-theoretic statistics and safe anytime-valid inference. Stat Sci 2023;38:576-601. arXiv:2210.01948.",
    "halving": "Li L, et al. A system for massively parallel hyperparameter tuning. MLSys 2020. arXiv:1810.05934.",
    "tpe": "Bergstra J, Bardenet R, Bengio Y, Kegl B. Algorithms for hyper-parameter optimization. NeurIPS 2011.",
    "nsga2": "Deb K, Pratap A, Agarwal S, Meyarivan T. A fast and elitist multiobjective genetic algorithm: NSGA-II. IEEE Trans Evol Comput 2002;6:182-197.",
    "pgd": "Madry A, Makelov A, Schmidt L, Tsipras D, Vladu A. Towards deep learning models resistant to adversarial attacks. ICLR 2018. arXiv:1706.06083.",
    "gan": "Arjovsky M, Chintala S, Bottou L. Wasserstein generative adversarial networks. ICML 2017. arXiv:1701.07875.",
    "torch": "Paszke A, et al. PyTorch: an imperative style, high-performance deep learning library. NeurIPS 2019.",
    "ray": "Liaw R, et al. Tune: a research platform for distributed model selection and training. arXiv:1807.05118, 2018.",
}
_ALGORITHMS = {
    "random": ("random search", ""),
    "grid": ("a full grid", ""),
    "tpe": ("a tree-structured Parzen estimator", "tpe"),
    "nsga2": ("NSGA-II", "nsga2"),
    "gp": ("Gaussian-process optimization", ""),
}
_MARK = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Methods:
    """Paragraphs whose references are numbered in the order of their first use."""

    paragraphs: tuple[str, ...]
    references: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it, for the clipboard."""
        return "\n\n".join([*self.paragraphs, "\n".join(self.references)]) + "\n"


def methods(run: Run, rule: str = selection.DEFAULT_RULE) -> Methods:
    """The methods paragraphs of a run whose configurations are chosen by `rule`."""
    drafts = (_data(run), _search(run, rule), _measures(run), _statistics(run, rule), _software(run))
    return numbered([" ".join(sentences) for sentences in drafts if sentences])


def numbered(drafts: Sequence[str]) -> Methods:
    """Drafts with {key} marks -> [1], [2], ... and the list of references in that order."""
    order: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f"[{order.setdefault(found[1], len(order) + 1)}]"

    paragraphs = tuple(_MARK.sub(number, draft) for draft in drafts)
    return Methods(paragraphs, tuple(f"{place}. {REFERENCES[key]}" for key, place in order.items()))


def _data(run: Run) -> list[str]:
    sides = [(role, run.data_card[role]) for role in ("source", "target") if role in run.data_card]
    if len(sides) < 2:
        return []
    parts = []
    for role, card in sides:
        patients = f" of {card['patients']} patients" if card.get("patients") else ""
        classes = ", ".join(f"{count} {name}" for name, count in _classes(card).items())
        size = f"{card['images']} images{patients}" if "images" in card else "images"
        parts.append(f"{role} domain {card.get('name', role)} ({size}{f': {classes}' if classes else ''})")
    text = [
        f"Models were trained on the {parts[0]} and tested on the {parts[1]}, no label of which was used for training."
    ]
    folds = sides[0][1].get("folds") or {}
    counts = [f"{fold} {sum(row.values())}" for fold, row in folds.items() if isinstance(row, dict)]
    if counts:
        text.append(
            f"The source domain was split by patient, near-duplicates kept together, into {_listed(counts)} images; "
            "source images of patients or pictures that the target domain also holds were left out."
        )
    return text


def _search(run: Run, rule: str) -> list[str]:
    varying = derived.varying_settings(run.configs)
    asked = [name for name in varying if any(name in study for study in run.studies.values())]
    searched = [name for name in varying if name not in asked]
    seeds = run.records.groupby(level="signature").size()
    span = str(seeds.min()) if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    text = [
        f"We compared {counted(len(run.means), 'configuration')}, each trained with {span} random {'seed' if span == '1' else 'seeds'}."
    ]
    if asked:
        text.append(f"The factors of interest ({_listed([_words(name) for name in asked])}) were fully crossed.")
    if searched:
        words, key = _ALGORITHMS.get(str(run.algorithm), ("search", ""))
        text.append(
            f"Within each combination {_listed([_words(name) for name in searched])} were tuned by {words}{f' {{{key}}}' if key else ''}."
        )
    if any(event.get("by") == "halving" for event in run.stops):
        text.append("Configurations that fell behind were stopped early by asynchronous successive halving {halving}.")
    if run.verdicts:
        text.append(
            "Seeds were given in a race: a configuration got no more once the evidence that another was ahead over common seeds reached 20 to 1 "
            "by anytime-valid e-values {race}."
        )
    chosen = selection.RULES[rule]
    text.append(
        f"The reported configuration was selected by the {chosen.describe}"
        + (", which is optimistic." if chosen.oracle else ".")
    )
    return text


def _measures(run: Run) -> list[str]:
    named = [metric_names.title(metric) for metric in objectives(run)]
    text = [f"The objectives were {_listed(named)}."] if named else []
    text.append("Discrimination was measured by the area under the ROC curve {auroc} and balanced accuracy.")
    robust = [metric_names.parse(name) for name in run.metrics if metric_names.parse(name).threat]
    threats = sorted({str(name.threat) for name in robust} - {metric_names.WORST})
    budgets = sorted({name.eps for name in robust if name.eps and parse_epsilon(name.eps) > 0}, key=parse_epsilon)
    if threats and budgets:
        text.append(
            f"Robustness is the share of images still classified correctly under the attacks {_listed(threats)} {{pgd}} within an L-infinity ball of "
            f"radius {_listed(budgets)} around the one-channel image in [0, 1]; worst-case figures take the worst attack per image."
        )
    generators = _generators(run)
    if generators:
        gan = " {gan}" if any("gan" in name for name in generators) else ""
        text.append(f"Synthetic images came from {_listed(generators)}{gan}, trained on the training fold alone.")
    return text


def _generators(run: Run) -> list[str]:
    """Names of the generators whose images some configuration was trained with."""
    if derived.RATIO not in run.configs or "generator" not in run.configs:
        return []
    mixed = run.configs[derived.RATIO].astype(float) > 0
    return sorted(run.configs.loc[mixed, "generator"].dropna().astype(str).unique())


def _statistics(run: Run, rule: str) -> list[str]:
    text = [
        "95 % confidence intervals are bias-corrected and accelerated bootstrap intervals {bca} over patients, who are resampled whole and within "
        "classes and shared by all seeds; the variance between seeds enters as Student's t, moderated by empirical Bayes over all configurations {moderated}.",
        "Paired differences were tested by sign flips of the patients' jackknife pseudo-values with the same variance between seeds, and p-values were adjusted by Holm's method {holm}.",
    ]
    if len(run.means) > 1:
        text.append(
            "The performance of the selected configuration was corrected for having been selected by repeating the selection on bootstrap samples of the "
            "patients, each seed left out in turn {bbc}; the probability that it is not truly better than its rival follows {false}."
        )
    return text


def _software(run: Run) -> list[str]:
    packages = run.environment.get("packages", {})
    versions = ", ".join(
        f"{name} {packages[name]}" for name in ("torch", "timm", "ray", "optuna", "torchattacks") if name in packages
    )
    commit = run.environment.get("commit") or run.environment.get("git_commit")
    text = [
        f"Analyses used PyTorch {{torch}} and Ray Tune {{ray}} ({versions})."
        if versions
        else "Analyses used PyTorch {torch} and Ray Tune {ray}."
    ]
    return text + ([f"Code version {commit[:12]}."] if commit else [])


def _classes(card: dict) -> dict[str, int]:
    classes = card.get("classes", {})
    return classes if isinstance(classes, dict) else {}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
