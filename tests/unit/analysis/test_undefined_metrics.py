"""Metrics that the images leave undefined: named, left out, and no command fails over them."""

import json

import pytest

from analysis import interchange, rank, report, tables, watch
from analysis.compare import as_text, compare, find_side
from analysis.frames import load_run
from analysis.page import build_page
from analysis.tables import Source
from analysis.warnings import warnings
from tests.fakes.run_folder import FakeSweep, write_fake_run, write_ledger


@pytest.fixture(scope="module", params=["target", pytest.param("source_val", marks=pytest.mark.slow)])
def single(request, tmp_path_factory):
    sweep = FakeSweep(
        failed=0,
        ratios=(0, 1),
        seeds=2,
        images=20,
        gallery=False,
        single_class=(request.param,),
        attacked=("source", "target"),
    )
    return write_fake_run(tmp_path_factory.mktemp("single") / "run", sweep), request.param


@pytest.mark.extended
def test_every_command_works(single, tmp_path, capsys):
    folder, split = single
    name = str(folder)
    for form in ("table", "csv", "json"):
        assert rank.main([name, "--format", form]) == 0
        said = capsys.readouterr().out
        assert "nan" not in said.lower().replace("nan)", "")
        if form == "json":
            assert f"auroc/{split}" in json.loads(said)["undefined"]
    assert report.main([name, "--out", str(tmp_path / "r.html")]) == 0
    assert tables.main([name, "--out", str(tmp_path / "t")]) == 0
    assert watch.main([name, "--once"]) == 0
    for kind in ("csv", "parquet", "optuna"):
        assert interchange.main([name, "--to", kind, "--out", str(tmp_path / kind)]) == 0
    side = find_side(f"{folder}:{load_run(folder).means.index[0]}")
    assert "AUROC" in as_text(compare(side, side))


def test_it_is_said(single):
    folder, split = single
    run = load_run(folder)
    assert f"auroc/{split}" in run.undefined
    assert any("undefined" in warning.headline for warning in warnings(run))
    page = build_page(run, draws=200)
    if split == "source_val":
        assert page.verdict.recommendation.startswith(
            "No recipe can be chosen: the best mean AUROC on source validation"
        )
    assert not page.verdict.usable
    if split == "target":
        assert page.verdict.recommendation.startswith(
            "No recipe can be recommended: all images of the target are benign"
        )
    assert not (page.winner and page.winner.sentences), "no score to correct, or nothing was ranked"
    keys = run.means.index[:2]
    said = as_text(compare(*(find_side(f"{folder}:{key}") for key in keys)))
    assert "nan %" not in said


def test_ranking_by_it_is_refused(single, capsys):
    folder, split = single
    assert rank.main([str(folder), "--by", f"auroc/{split}"]) == 2
    assert "is undefined in every record" in capsys.readouterr().err


def test_an_undefined_quality_never_wins_by_being_first(tmp_path):
    head = {"event": "finish", "seed": 0, "seconds": {}, "stages": [], "alarms": []}
    rows = (("a", None), ("b", 0.6), ("c", 0.7))
    events = [
        {
            **head,
            "signature": key,
            "config": {"backbone": "resnet18", "synthetic_per_real": 0, "lr": number},
            "study": {"backbone": "resnet18", "lr": number},
            "metrics": {"auroc/source_val": quality, "auroc/source": 0.8, "auroc/target": 0.7},
        }
        for number, (key, quality) in enumerate(rows)
    ]
    for event in events:  # one searched cell
        event["study"] = {"backbone": "resnet18", "synthetic_per_real": 0}
    write_ledger(tmp_path, events)
    run = load_run(tmp_path)
    source = Source(run, None, ("a", "b", "c"), None)
    assert source.best(backbone="resnet18") == "c"
    assert set(run.partners.values()) == {"c"}
