"""The page for every reader: contrast of the style's colours, the accessibility rules in a real browser, phones, paper."""

import re

import pytest

from analysis.figures.calibration import tile_opacity
from analysis.glossary import GLOSSARY, anchor, explained
from analysis.page import build_page
from analysis.report import DASHBOARD, _css_text, render
from tests.fakes.accessibility import CHECK
from tests.fakes.browser import CHROMIUM, visit

in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
STYLE = (DASHBOARD / "report.css").read_text(encoding="utf-8")


def themes():
    """Colours by name of the light and the dark theme, and of the dark one that the system asks for."""
    blocks = [
        dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block))
        for block in re.findall(r":root[^{]*\{([^}]*)\}", STYLE)
    ]
    light = blocks[0]
    return {"light": light, "dark": {**light, **blocks[1]}, "system dark": {**light, **blocks[2]}}


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def blended(top, bottom, opacity):
    """The colour of `top` at an opacity over `bottom`."""
    mixed = [round(opacity * int(top[i : i + 2], 16) + (1 - opacity) * int(bottom[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


@pytest.mark.parametrize("name", themes())
def test_numbers_stand_out_on_the_tiles_of_a_confusion_matrix(name):
    theme = themes()[name]
    for colour in ("s0", "s1"):
        for share in (0, 0.5, 1):
            under = blended(theme[colour], theme["paper"], tile_opacity(share))
            assert contrast(theme["ink"], under) >= 4.5, (colour, share)


@pytest.mark.parametrize("name", themes())
def test_text_stands_out_in_both_themes(name):
    theme = themes()[name]
    pairs = [
        (text, under) for text in ("ink", "soft", "faint", "accent", "warn") for under in ("paper", "card", "wash")
    ]
    pairs += [("soft", "warn-wash"), ("ink", "warn-wash"), ("warn", "warn-wash")]
    pairs += [("paper", under) for under in ("accent", "faint", "warn", "ink")]  # badges, signs, words beside a mark
    too_low = {pair: contrast(theme[pair[0]], theme[pair[1]]) for pair in pairs}
    assert {pair: value for pair, value in too_low.items() if value < 4.5} == {}
    assert min(contrast(theme[f"s{i}"], theme["paper"]) for i in range(8)) >= 3  # lines and marks


def test_the_dark_theme_is_the_same_by_choice_and_by_system():
    assert themes()["dark"] == themes()["system dark"]


@pytest.fixture(scope="module")
def html(run):
    return render(build_page(run, draws=300))


@pytest.mark.extended
@in_chromium
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_rule_is_violated(html, tmp_path, theme):
    made = visit(html.replace("<html", f'<html data-theme="{theme}"', 1), CHECK, tmp_path).answer
    assert made.get("found") == [] and made["texts"] > 100 and made["lowest"] >= 4.5


@pytest.mark.extended
@in_chromium
def test_the_checker_finds_what_is_wrong(tmp_path):
    page = (
        "<html><head><title></title></head><body><h3></h3><h1>a</h1><p id='x' style='color:#999'>grey</p><p id='x'>b</p><a href='#no'>c</a>"
        "<button></button><input><img src=''><table><tr><td>1</td></tr></table><ul><p>d</p></ul><svg role='img' aria-label='e'>"
        "<g tabindex='0'></g></svg><i role='nonsense'>f</i><i aria-lable='x'>g</i></body></html>"
    )
    rules = {line.split(":")[0] for line in visit(page, CHECK, tmp_path).answer["found"]}
    assert rules >= {
        *(
            "lang",
            "title",
            "one main",
            "heading skipped",
            "empty heading",
            "id twice",
            "link to nowhere",
            "no name",
            "contrast",
        ),
        *(
            "table without headers",
            "list with other children",
            "control inside a control",
            "unknown role",
            "unknown aria",
        ),
    }


@pytest.mark.extended
@in_chromium
def test_text_of_drawings_is_readable_on_a_phone(html, tmp_path):
    made = visit(
        html,
        """
        document.body.style.width = '390px';  // Chromium's own window is never narrower than 500
        const sizes = [...document.querySelectorAll('svg.plot')].map((plot) => {
            const scale = plot.getBoundingClientRect().width / plot.viewBox.baseVal.width;
            return [...plot.querySelectorAll('text')].map((text) => parseFloat(getComputedStyle(text).fontSize) * scale); });
        return {plots: sizes.length, smallest: Math.min(...sizes.flat()), page: document.body.scrollWidth};""",
        tmp_path,
        width=390,
    ).answer
    assert made["plots"] > 5 and made["smallest"] >= 11 and made["page"] <= 390


@pytest.mark.extended
@in_chromium
def test_paper_gets_every_row_and_number_and_no_tip(html, tmp_path):
    made = visit(
        html,
        """
        const mark = document.querySelector('[data-tip]'); mark.focus();
        const before = !document.querySelector('#tip').hidden;
        dispatchEvent(new Event('beforeprint'));
        const tables = [...document.querySelectorAll('.numbers')];
        const open = tables.filter((fold) => fold.open).length, tip = document.querySelector('#tip').hidden;
        dispatchEvent(new Event('afterprint'));
        const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).filter((rule) => rule.media && rule.conditionText === 'print');
        return {before, open, tables: tables.length, tip, after: tables.filter((fold) => fold.open).length, print: rules.map((rule) => rule.cssText).join(' ')};""",
        tmp_path,
    ).answer
    assert made["before"] and made["tip"] and made["open"] == made["tables"] > 5 and made["after"] == 0
    rules = (
        "#board tbody tr[hidden] { display: table-row",
        "thead { display: table-header-group",
        "#board thead button { display: contents",
        "#tip",
    )
    for rule in rules:
        assert rule in made["print"]


def test_every_page_of_paper_has_the_title(html, run):
    assert f'@top-left {{ content: "{run.name}: which recipe transfers"' in html
    assert _css_text('a"; } body { x') == "a\\22 \\3b  \\7d  body \\7b  x"


def test_every_figure_has_its_numbers(html):
    sections = re.findall(r'<section id="([\w-]+)".*?</section>', html, re.S)
    figures = [
        name for name in sections if name not in ("verdict", "warnings", "leaderboard", "images", "data", "glossary")
    ]
    assert figures
    for name in figures:
        section = re.search(rf'<section id="{name}".*?</section>', html, re.S)[0]
        assert '<details class="numbers">' in section and section.count("<tr>") >= 2, name


def test_terms_are_explained_once_a_text_and_always_escaped():
    made = explained("The oracle <b> beats the Oracle; worst case & epsilon.")
    assert (
        made.count('class="term"') == 3
        and "&lt;b&gt;" in made
        and "&amp; " in made
        and made.count("#glossary-oracle") == 1
    )
    assert explained("nothing") == "nothing" and anchor("95 % interval") == "glossary-95-interval"
    assert len({anchor(term) for term in GLOSSARY}) == len(GLOSSARY)


def test_legends_of_marked_lines_hold_their_markers(html):
    legends = re.findall(r'<section id="epsilon".*?</section>', html, re.S)[0]
    first = re.search(r'<ul class="legend">(.*?)</ul>', legends, re.S)[1]
    assert first.count("<path") == first.count("<line") == first.count("<li>") > 1


def test_strips_have_a_scale(html):
    assert html.count("strip-scale") == 1 and "Scale of the intervals: 0." in html


def test_settings_that_are_absent_have_a_place(html):
    parallel = re.search(r'<section id="parallel".*?</section>', html, re.S)[0]
    assert ">none</text>" in parallel and 'class="lane"' in parallel
