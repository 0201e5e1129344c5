"""The audit names what is planted: copies, conflicts, shared patients, giveaways, baselines."""

import html
import itertools
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweep.audit.audit import audit
from sweep.audit.burned_in_text import marks
from sweep.audit.domain_facts import domain_tells, shared_patients
from sweep.audit.html_page import render_html
from sweep.audit.shortcut_features import find_tells, folded_auroc
from sweep.audit.text import render, verdict
from sweep.core.errors import InputError
from sweep.importers import import_dataset, phantom
from sweep.shards.__main__ import main
from sweep.shards.reader import read_manifest, read_metadata
from sweep.shards.schema import Header, ShardRow
from sweep.shards.writer import write_dataset
from tests.fakes import brest, busi
from tests.fakes.accessibility import CHECK
from tests.fakes.browser import CHROMIUM, visit


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Shards of the fake BUSI and BrEaST."""
    place = tmp_path_factory.mktemp("audit")
    for name, fake in (("busi", busi), ("brest", brest)):
        import_dataset(name, fake.write(place / "source" / name), place / name)
    return [place / "busi", place / "brest"]


@pytest.fixture(scope="module")
def report(folders):
    """Both sets, audited together."""
    return audit(folders)


@pytest.fixture(scope="module")
def alone(folders):
    """The first of them by itself."""
    return audit(folders[:1])


def test_facts_of_each_set(report):
    facts = report.sets[0]
    assert facts.classes == {"benign": 8, "malignant": 6, "normal": 6}
    assert (facts.images, facts.pictures, facts.patients, facts.without_patient) == (20, 19, 0, 20)
    assert (facts.constant_class, facts.constant_accuracy) == ("benign", 8 / 14)


def test_the_image_in_two_classes_is_named(report, alone):
    (conflict,) = alone.conflicts
    assert (conflict.first, conflict.second, conflict.how) == ("benign (8)", "malignant (6)", "identical")
    text = render(report)
    assert "benign (8) = malignant (6) (identical, 1.00, labels benign / malignant)" in text
    assert (
        "19 groups remain" in text and "always answering 'benign' is right for 57.1 % (normal scans left out)" in text
    )


def test_copies_and_patients_between_sets(tmp_path):
    phantom.write(tmp_path / "a", patients=5, image_px=64)
    raws = list(phantom.simulate("a", 5, image_px=64))
    row = ShardRow("stolen", np.fliplr(raws[1].pixels), raws[1].label, patient=raws[1].patient)
    write_dataset(tmp_path / "b", Header(name="b", domain="b"), [row])
    report = audit([tmp_path / "a", tmp_path / "b"])
    (stolen,) = report.crossing
    assert (stolen.first, stolen.second, stolen.how) == (raws[1].image_id, "stolen", "mirrored")
    assert report.shared_patients == {"a, b": (raws[1].patient,)} and not report.conflicts
    assert "patient ids in both a, b: 1" in render(report)


def films(path, name, citation="", label=lambda k: "ab"[k % 2], patient=str, domain=lambda k: "", size=lambda k: 64):
    """Twenty noisy films: label, patient, scanner and original width by number."""
    draw = np.random.default_rng(0)
    rows = [
        ShardRow(
            f"{name}{k}",
            draw.integers(0, 255, (32, 32)).astype(np.uint8),
            label(k),
            patient(k),
            domain(k),
            original_width=size(k),
            original_height=64,
        )
        for k in range(20)
    ]
    write_dataset(path / name, Header(name=name, domain=name, citation=citation, classes=("a", "b")), rows)
    return path / name


def test_domains_inside_a_set_have_facts_giveaways_and_shared_patients(tmp_path):
    scanner = lambda k: "north" if k < 12 else "south"
    folder = films(
        tmp_path,
        "x",
        label=lambda k: "ab"[k % 3 == 0],
        patient=lambda k: str(k % 16),
        domain=scanner,
        size=lambda k: 64 if k < 12 else 96,
    )
    report = audit([folder])
    north, south = report.sets[0].domains
    assert (north.name, north.images, north.classes, north.constant_class, north.patients) == (
        "north",
        12,
        {"a": 8, "b": 4},
        "a",
        12,
    )
    assert south.constant_accuracy == 5 / 8 and report.shared_patients == {"x: north, x: south": ("0", "1", "2", "3")}
    assert {tell.target for tell in report.domain_tells} == {"domain south"} and report.domain_tells[0].auroc == 1
    text = render(report)
    assert "domain north: 12 images (a 8, b 4), 12 patients, 'a' is right for 66.7 %" in text
    assert "patient ids in both x: north, x: south: 4" in text and "features that predict the domain" in text
    assert "left out" not in text  # there is no normal scan
    both = pd.concat([read_metadata(folder), read_metadata(films(tmp_path, "y"))], ignore_index=True)
    assert "x: domain south" in {tell.target for tell in domain_tells(both, np.repeat(["x", "y"], 20))}


def test_equal_ids_of_two_publications_are_no_shared_patients(tmp_path):
    folders = [films(tmp_path, name, citation) for name, citation in (("x", "X et al."), ("y", "Y et al."), ("z", ""))]
    found = shared_patients(
        "xyz", [read_metadata(folder) for folder in folders], [read_manifest(folder) for folder in folders]
    )
    assert set(found) == {"x, z", "y, z"}


def test_a_follow_up_is_no_conflict(tmp_path):
    raws = [views[0] for views in by_patient(phantom.simulate("a", 12, image_px=64))]
    rows = [ShardRow(raw.image_id, raw.pixels, "ill", raw.patient) for raw in raws]
    for number, patient in enumerate((raws[0].patient, "another", "")):
        near = np.clip(raws[number].pixels.astype(int) + 9, 0, 255).astype(np.uint8)
        rows.append(ShardRow(f"later {number}", near, "well", patient))
    write_dataset(tmp_path / "set", Header(name="x", domain="x"), rows)
    report = audit([tmp_path / "set"])
    assert {copy.second for copy in report.copies} == {"later 0", "later 1", "later 2"}
    assert {copy.second for copy in report.conflicts} == {"later 1", "later 2"}
    assert render(report).count("same patient, labels ill / well") == 1


def by_patient(raws):
    return [list(views) for _, views in itertools.groupby(raws, key=lambda raw: raw.patient)]


def test_a_set_has_as_many_pictures_alone_as_in_company(report, alone):
    assert report.sets[0] == alone.sets[0]


def test_giveaways_are_found_and_noise_is_not():
    draw = np.random.default_rng(0)
    label = np.repeat(["benign", "malignant"], 100)
    columns = {"image width": np.where(label == "benign", 500, 700) + draw.normal(0, 50, 200),
               "tint": draw.random(200)}  # fmt: skip
    (tell,) = find_tells(columns, label, "class")
    assert (tell.feature, tell.target) == ("image width", "class malignant") and tell.auroc > 0.95
    assert find_tells(columns, np.repeat("benign", 200), "class") == []
    assert folded_auroc(np.array([3, 2, 1, 0]), np.array([False, False, True, True])) == 1.0


def written(text, shade=30):
    """Tissue-like noise with a line of white block letters in the lower left."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(np.random.default_rng(0).normal(shade, 6, (160, 200)).clip(0, 90).astype(np.uint8))
    ImageDraw.Draw(image).text((8, 140), text, fill=255)
    return np.asarray(image)


@pytest.mark.parametrize("shade", [8, 60])
def test_words_letters_and_callipers_are_marks_and_tissue_is_none(shade):
    assert marks(written("", shade)) == []
    assert "word" in {mark.kind for mark in marks(written("DOE JANE 1970", shade))}
    for text in ("LT", "R", "RT2"):
        found = marks(written(text, shade))
        assert found and all(mark.box[0].start >= 136 and mark.box[1].start <= 40 for mark in found)
    crossed = written("", shade).copy()
    for row, column in ((60, 50), (60, 150)):
        crossed[row, column - 4 : column + 5] = crossed[row - 4 : row + 5, column] = 230
    assert [mark.kind for mark in marks(crossed)] == ["calliper", "calliper"]


def test_images_too_small_for_any_mark():
    assert marks(np.zeros((1, 1), np.uint8)) == [] and marks(np.full((5, 40), 200, np.uint8)) == []


def test_images_with_text_are_named_and_tell_the_class(tmp_path):
    rows = (
        ShardRow(f"i{k}", written("RIGHT BREAST" if k % 2 else "", 20 + k), "ill" if k % 2 else "well")
        for k in range(40)
    )
    write_dataset(tmp_path / "a", Header(name="a", domain="a"), rows)
    report = audit([tmp_path / "a"])
    assert report.sets[0].written_on == tuple(f"i{k}" for k in range(1, 40, 2))
    text = render(report)
    assert (
        "text seems to be burned into 20 images: i1, i3" in text
        and "lettering alone predicts class well: AUROC 1.00" in text
    )
    assert "a model could learn a shortcut, as lettering alone predicts class well" in verdict(report)


def test_page_is_offline_escaped_and_shows_the_pair(report):
    page = render_html(report)
    assert "Content-Security-Policy" in page and "default-src 'none'" in page and "<script" not in page
    assert page.count("<figure>") == 1 and "benign (8) (benign) / malignant (6) (malignant)" in page
    assert not re.search(r"(src|href)=['\"](?!data:)", page)


def test_command_writes_what_it_says(folders, tmp_path, capsys):
    argv = ["audit", *map(str, folders), "--html", str(tmp_path / "a.html"), "--json", str(tmp_path / "a.json")]
    assert main(argv) == 0
    assert "copies with different labels: 1 pair\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["copies"][0]["second"] == "malignant (6)"
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_places_that_cannot_be_written_are_refused_before_the_work(folders, tmp_path, capsys, monkeypatch, option):
    monkeypatch.setattr("sweep.shards.__main__.audit", lambda folders: pytest.fail("the audit has begun"))
    assert (
        main(["audit", str(folders[0]), option, "/proc/x.html"]) == 2
        and "/proc/x.html cannot be written" in capsys.readouterr().err
    )
    assert (
        main(["audit", option, str(folders[0]), str(folders[1])]) == 2
        and "is a folder; write" in capsys.readouterr().err
    )


def test_page_without_a_name_lies_here(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["audit", str(folders[0]), "--html"]) == 0 and (tmp_path / "audit.html").exists()


def test_command_refuses_what_is_no_data_set(tmp_path, folders, capsys):
    assert main(["audit", str(tmp_path)]) == 2 and "manifest.json" in capsys.readouterr().err
    assert main(["verify", str(folders[0])]) == 0
    with pytest.raises(InputError, match="twice"):
        audit([folders[0], folders[0]])


@pytest.mark.real
@pytest.mark.skipif("RECIPE_DATA" not in os.environ, reason="needs the real images")
def test_the_real_busi(tmp_path):
    import_dataset("busi", Path(os.environ["RECIPE_DATA"]) / "BUSI", tmp_path / "busi")
    report = audit([tmp_path / "busi"])
    assert ("benign (433)", "malignant (145)", "identical") in {
        (copy.first, copy.second, copy.how) for copy in report.conflicts
    }
    assert 590 <= report.sets[0].pictures <= 630


def test_the_page_opens_with_the_verdict_then_pictures_then_lists(report):
    page = render_html(report, "a<b>.html")
    assert verdict(report) in html.unescape(page) and "Written to <code>a&lt;b&gt;.html</code>" in page
    assert page.index("class='verdict'") < page.index("side by side") < page.index(f"domain {report.sets[0].domain}")
    assert render(report).startswith(verdict(report))


@pytest.mark.extended
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_keeps_to_the_accessibility_rules(report, tmp_path):
    page = render_html(report, "a.html").replace(
        "default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';"
    )
    made = visit(page, CHECK, tmp_path).answer
    assert made.get("found") == [] and made["texts"] > 10
