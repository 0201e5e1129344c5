"""run folder -> one HTML page of the TRIPOD+AI and CLAIM items: filled where the run knows the answer, marked where a person must write.

python -m analysis.checklist results/ratio --out checklist.html

Items follow TRIPOD+AI (Collins et al., BMJ 2024;385:e078378) and the CLAIM 2024 update (Tejani et al., Radiol Artif Intell 2024;6:e240300),
named in our words. An answer links to the file of the run folder that it was read from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from analysis import metric_names, selection
from analysis.drift import TITLES, drifts
from analysis.estimates import Estimates
from analysis.figures.figure import with_interval
from analysis.frames import Run, load_run
from analysis.methods_text import Methods, methods
from analysis.ranking import Ranking, rank
from analysis.report import fill
from analysis.winner import Winner, winner
from sweep.core.command_line import Command, one_of, run_as_program
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.storage import Storage

BY_HAND = "to be written by a person"


@dataclass(frozen=True)
class Facts:
    """What answers are made from."""

    run: Run
    ranking: Ranking
    winner: Winner | None
    methods: Methods


Answer = Callable[
    [Facts], tuple[str, tuple[str, ...]]
]  # (text, files of the run folder it was read from); empty text: not known


@dataclass(frozen=True)
class Item:
    """One item of a guideline: its number there, what it asks, and how the run answers it (None: it cannot)."""

    guideline: str
    number: str
    asks: str
    answer: Answer | None = None


@dataclass(frozen=True)
class Row:
    """An item with its answer; `by_hand` where a person must write."""

    guideline: str
    number: str
    asks: str
    text: str
    files: tuple[str, ...]
    by_hand: bool


def _paragraph(start: str, *files: str) -> Answer:
    """The methods paragraph that holds a sentence beginning so."""

    def answer(facts: Facts) -> tuple[str, tuple[str, ...]]:
        found = [text for text in facts.methods.paragraphs if start in text]
        return (found[0] if found else ""), files

    return answer


def _sizes(facts: Facts) -> tuple[str, tuple[str, ...]]:
    cards = [(role, facts.run.data_card.get(role, {})) for role in ("source", "target")]
    parts = [
        f"{role}: {card['images']} images"
        + (f" of {card['patients']} patients" if card.get("patients") else ", patients not known")
        for role, card in cards
        if "images" in card
    ]
    return "; ".join(parts), ("data.json", "split.parquet")


def _classes(facts: Facts) -> tuple[str, tuple[str, ...]]:
    parts = []
    for role in ("source", "target"):
        for fold, row in (facts.run.data_card.get(role, {}).get("folds") or {}).items():
            if isinstance(row, dict):
                parts.append(f"{role} {fold}: " + ", ".join(f"{count} {name}" for name, count in row.items()))
    return "; ".join(parts), ("data.json",)


def _origin(facts: Facts) -> tuple[str, tuple[str, ...]]:
    parts = []
    for role in ("source", "target"):
        card = facts.run.data_card.get(role, {})
        if card.get("citation") or card.get("licence"):
            parts.append(
                f"{role}: {card.get('name', '')}, {card.get('citation', '')} (licence {card.get('licence', 'not stated')})"
            )
    return "; ".join(parts), ("data.json",)


def _leaks(facts: Facts) -> tuple[str, tuple[str, ...]]:
    audit = facts.run.data_card.get("audit", {})
    left_out = audit.get("left_out_of_source_to_target_for", {})
    if not left_out:
        return "", ("data.json",)
    counts = ", ".join(f"{value} for {name.replace('_', ' ')}" for name, value in left_out.items())
    return (
        f"Folds are disjoint by patient and near-duplicate group; source images left out because the target holds them too: {counts}.",
        ("data.json", "split.parquet"),
    )


def _performance(facts: Facts) -> tuple[str, tuple[str, ...]]:
    if not facts.ranking.rows:
        return "", ()
    best = facts.ranking.rows[0]
    numbers = "; ".join(f"{metric_names.title(name)} {with_interval(made)}" for name, made in best.numbers.items())
    extra = " ".join(facts.winner.sentences) if facts.winner else ""
    return f"{best.label}: {numbers}. {extra}".strip(), ("report.html", f"trials/{best.signature}")


def _failures(facts: Facts) -> tuple[str, tuple[str, ...]]:
    failed, stopped = len(facts.run.failures), len(facts.run.stops)
    return (
        f"{len(facts.run.records)} records finished, {failed} failed, {stopped} were stopped early; all are listed in the report.",
        ("records", "report.html"),
    )


def _settings(facts: Facts) -> tuple[str, tuple[str, ...]]:
    if not facts.ranking.rows:
        return "", ()
    best = facts.ranking.rows[0]
    return ", ".join(f"{name} {value}" for name, value in best.config.items()), (
        "space.yaml",
        f"trials/{best.signature}",
    )


def _environment(facts: Facts) -> tuple[str, tuple[str, ...]]:
    environment = facts.run.environment
    packages = ", ".join(f"{name} {version}" for name, version in environment.get("packages", {}).items())
    parts = [
        f"Python {environment['python']}" if "python" in environment else "",
        packages,
        environment.get("platform", ""),
    ]
    return "; ".join(filter(None, parts)), ("environment.json",)


def _drift(facts: Facts) -> tuple[str, tuple[str, ...]]:
    found = drifts(facts.run.properties())
    text = "; ".join(
        f"{TITLES[one.name]}: median {one.source[2]:.3g} in the source, {one.target[2]:.3g} in the target (AUROC {one.auroc:.2f})"
        for one in found
    )
    return text, ("properties.parquet",)


TRIPOD, CLAIM = "TRIPOD+AI", "CLAIM 2024"
ITEMS = (
    Item(TRIPOD, "1", "title: development or evaluation of a prediction model, target population, outcome"),
    Item(TRIPOD, "2", "abstract by TRIPOD+AI for Abstracts"),
    Item(TRIPOD, "3a", "healthcare context, diagnostic or prognostic, rationale, existing models"),
    Item(TRIPOD, "3b", "target population, purpose in the care pathway, intended users"),
    Item(TRIPOD, "3c", "known health inequalities between sociodemographic groups"),
    Item(TRIPOD, "4", "objectives: development, evaluation or both", _paragraph("The objectives were", "space.yaml")),
    Item(TRIPOD, "5a", "sources of the development and evaluation data, why these, representativeness", _origin),
    Item(TRIPOD, "5b", "dates of the data"),
    Item(TRIPOD, "6a", "setting, number and location of centres"),
    Item(TRIPOD, "6b", "eligibility criteria"),
    Item(TRIPOD, "6c", "treatments received"),
    Item(TRIPOD, "7", "preprocessing and quality checks of the data", _leaks),
    Item(TRIPOD, "8a", "outcome: definition, how and when assessed, why this one"),
    Item(TRIPOD, "8b", "qualifications of those who assessed the outcome"),
    Item(TRIPOD, "8c", "blinding of the assessment of the outcome"),
    Item(TRIPOD, "9a", "choice of predictors before model building: here the image alone", _settings),
    Item(TRIPOD, "9b", "definition of the predictors, how and when measured: image acquisition"),
    Item(TRIPOD, "9c", "qualifications of those who assessed the predictors"),
    Item(TRIPOD, "10", "how the study size was arrived at, and whether it suffices", _sizes),
    Item(TRIPOD, "11", "missing data and omitted images", _leaks),
    Item(
        TRIPOD,
        "12a",
        "use of the data for development and evaluation, partitions",
        _paragraph("Models were trained on", "data.json", "split.parquet"),
    ),
    Item(TRIPOD, "12b", "handling of predictors: rescaling, transformation, standardization", _settings),
    Item(
        TRIPOD,
        "12c",
        "type of model, building steps, hyperparameter tuning, internal validation",
        _paragraph("We compared", "space.yaml", "records"),
    ),
    Item(TRIPOD, "12d", "heterogeneity between clusters such as hospitals", _drift),
    Item(
        TRIPOD,
        "12e",
        "measures of performance and their rationale, comparison of models",
        _paragraph("Discrimination was measured", "space.yaml"),
    ),
    Item(TRIPOD, "12f", "updating of the model after its evaluation, e.g. recalibration"),
    Item(
        TRIPOD,
        "12g",
        "how predictions were computed for the evaluation",
        _paragraph("Analyses used", "environment.json"),
    ),
    Item(TRIPOD, "13", "class imbalance: methods, why, recalibration afterwards", _classes),
    Item(TRIPOD, "14", "fairness: approaches and rationale"),
    Item(TRIPOD, "15", "output of the model, rationale of the classification and its thresholds"),
    Item(TRIPOD, "16", "differences between development and evaluation data", _drift),
    Item(TRIPOD, "17", "ethical approval and consent"),
    Item(TRIPOD, "18a", "funding and role of the funders"),
    Item(TRIPOD, "18b", "conflicts of interest"),
    Item(TRIPOD, "18c", "where the protocol is, or that there was none"),
    Item(TRIPOD, "18d", "registration, or that there was none"),
    Item(TRIPOD, "18e", "availability of the data", _origin),
    Item(TRIPOD, "18f", "availability of the code", _environment),
    Item(TRIPOD, "19", "patient and public involvement"),
    Item(TRIPOD, "20a", "flow of participants, numbers with and without the outcome", _classes),
    Item(TRIPOD, "20b", "characteristics of participants by data source"),
    Item(TRIPOD, "20c", "comparison of evaluation and development data", _drift),
    Item(TRIPOD, "21", "numbers of participants and outcome events in each analysis", _classes),
    Item(TRIPOD, "22", "the model in full, so that others can use and evaluate it", _settings),
    Item(TRIPOD, "23a", "performance with confidence intervals, in key subgroups", _performance),
    Item(TRIPOD, "23b", "heterogeneity of performance between clusters, if examined"),
    Item(TRIPOD, "24", "results of model updating"),
    Item(TRIPOD, "25", "interpretation, with fairness, objectives and previous studies"),
    Item(TRIPOD, "26", "limitations and their effect on bias, uncertainty and generalizability"),
    Item(TRIPOD, "27a", "handling of poor or missing input in use"),
    Item(TRIPOD, "27b", "interaction and expertise that is required of users"),
    Item(TRIPOD, "27c", "next steps, applicability and generalizability"),
    Item(CLAIM, "1-4", "title, abstract, background, study aims"),
    Item(CLAIM, "5-6", "prospective or retrospective, study goal"),
    Item(CLAIM, "7", "data sources", _origin),
    Item(CLAIM, "8", "inclusion and exclusion criteria"),
    Item(CLAIM, "9", "data preprocessing", _settings),
    Item(CLAIM, "10", "selection of data subsets", _leaks),
    Item(CLAIM, "11", "de-identification"),
    Item(CLAIM, "12", "missing data", _leaks),
    Item(CLAIM, "13", "image acquisition protocol", _drift),
    Item(
        CLAIM,
        "14-18",
        "reference standard: definition, rationale, source, annotation of the test set, rater variability",
    ),
    Item(
        CLAIM,
        "19-20",
        "how data were assigned to partitions, level at which they are disjoint",
        _paragraph("Models were trained on", "split.parquet"),
    ),
    Item(CLAIM, "21", "intended sample size and how it was determined", _sizes),
    Item(CLAIM, "22", "detailed description of the model", _settings),
    Item(CLAIM, "23", "software libraries, frameworks, packages", _environment),
    Item(CLAIM, "24-25", "initialization, training details, hyperparameters", _settings),
    Item(CLAIM, "26", "how the final model was selected", _paragraph("We compared", "space.yaml", "records")),
    Item(CLAIM, "27", "ensembling"),
    Item(CLAIM, "28", "metrics of performance", _paragraph("Discrimination was measured", "space.yaml")),
    Item(
        CLAIM,
        "29",
        "statistical significance and uncertainty",
        _paragraph("95 % confidence intervals", "records", "report.html"),
    ),
    Item(CLAIM, "30", "robustness or sensitivity analysis", _paragraph("Robustness is", "space.yaml", "report.html")),
    Item(CLAIM, "31", "explainability"),
    Item(CLAIM, "32-33", "evaluation on internal data, testing on external data", _performance),
    Item(CLAIM, "34", "clinical trial registration"),
    Item(CLAIM, "35", "numbers of patients and images included and excluded", _sizes),
    Item(CLAIM, "36", "demographic and clinical characteristics by partition"),
    Item(CLAIM, "37-38", "performance with uncertainty, diagnostic accuracy", _performance),
    Item(CLAIM, "39", "failure analysis", _failures),
    Item(CLAIM, "40-41", "limitations, implications for practice"),
    Item(CLAIM, "42", "full protocol", _paragraph("We compared", "space.yaml")),
    Item(CLAIM, "43", "availability of software, model and data", _environment),
    Item(CLAIM, "44", "funding and other support"),
)


def checklist(run: Run, rule: str = selection.DEFAULT_RULE) -> tuple[Row, ...]:
    """Every item with what the run folder answers; files that it does not hold are not linked."""
    estimates = Estimates(run)
    ranking = rank(run, rule, top=2, estimates=estimates)
    facts = Facts(run, ranking, winner(run, ranking, estimates), methods(run, rule))
    return tuple(_row(item, facts) for item in ITEMS)


def _row(item: Item, facts: Facts) -> Row:
    text, files = item.answer(facts) if item.answer else ("", ())
    held = tuple(name for name in files if facts.run.storage.exists(name)) if text else ()
    return Row(item.guideline, item.number, item.asks, text or BY_HAND, held, not text)


def write_checklist(run_folder: str | Path, out: str | Path, rule: str = selection.DEFAULT_RULE) -> str:
    """Render the checklist of a run folder to `out`, which is returned."""
    selection.rule_named(rule)
    place, name = Storage.of_file(out)
    if not name or place.child(name).is_folder:
        raise InputError("--out", f"{out} is a folder", "give a file name such as checklist.html")
    run = load_run(run_folder)
    page = fill("checklist.html.j2", "", name=run.name, rows=checklist(run, rule), methods=methods(run, rule))
    place.write(name, page.encode())
    return str(out)


def checklist_command(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/ratio.", show_default=False)],
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="File to write.", show_default="RUN/checklist.html")
    ] = None,
    rule: Annotated[
        str, typer.Option(**one_of(selection.RULES), help="How the configuration is chosen.")
    ] = selection.DEFAULT_RULE,
) -> int:
    """Fill in what a run knows of the TRIPOD+AI and CLAIM items, with a methods paragraph to paste, and print the page's path."""
    path = out or Storage(run).address("checklist.html")
    sys.stdout.write(f"{write_checklist(run, path, rule)}\n")
    return EXIT_COMPLETE


main = Command(checklist_command, examples=("{} results/ratio", "{} results/ratio --out checklist.html"))

run_as_program(main, __name__)
