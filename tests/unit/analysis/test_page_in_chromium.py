"""The page in a real browser: silent, offline, and its selections work by pointer and by keyboard."""

from html import escape

import pytest

from analysis.page import build_page
from analysis.report import render
from tests.fakes.browser import CHROMIUM, visit

pytestmark = [pytest.mark.extended, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]

DRAG = """
const drag = (element, from, to) => ['pointerdown', 'pointermove', 'pointerup'].forEach((kind, step) => element.dispatchEvent(
    new PointerEvent(kind, {bubbles: true, button: 0, pointerId: 1, clientX: (step ? to : from)[0], clientY: (step ? to : from)[1]})));
SVGElement.prototype.setPointerCapture = () => {};
const rows = () => [...document.querySelectorAll('#board tbody tr')].filter((row) => !row.hidden).map((row) => row.dataset.s);
const status = () => document.querySelector('#selected').textContent;
const key = (element, name) => element.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true}));
"""


@pytest.fixture(scope="module")
def html(run):
    return render(build_page(run, draws=300))


def test_silent_and_offline(html, tmp_path):
    seen = visit(
        html,
        "return {resources: performance.getEntriesByType('resource').map((one) => one.name).filter((name) => !name.startsWith('data:'))}",
        tmp_path,
    )
    assert seen.console == [] and seen.requests == [] and seen.answer == {"resources": []}


def test_the_check_would_notice(tmp_path):
    page = '<html><body><img src="http://127.0.0.1:9/leak.png"><script>console.error("loud")</script></body></html>'
    seen = visit(page, "return {}", tmp_path)
    assert any("loud" in line for line in seen.console) and "http://127.0.0.1:9/leak.png" in seen.requests


def test_the_policy_of_the_page_stops_requests_and_foreign_scripts(html, tmp_path):
    attack = '<img src="http://127.0.0.1:9/leak.png"><script>window.owned = true</script></body>'
    seen = visit(html.replace("</body>", attack), "return {owned: window.owned === true}", tmp_path)
    assert seen.requests == [] and seen.answer == {"owned": False}


def test_brushing_selects_rows_and_escape_clears(html, tmp_path):
    seen = visit(
        html,
        DRAG
        + """
        const plot = document.querySelector('#pareto-plot'), box = plot.getBoundingClientRect();
        const before = rows().length;
        drag(plot, [box.left + 1, box.top + 1], [box.right - 1, box.top + box.height / 2]);
        const upper = rows(), words = status(), dimmed = plot.classList.contains('brushed');
        const lit = document.querySelectorAll('#pareto-plot .chosen').length, threads = document.querySelectorAll('#parallel-plot .chosen').length;
        key(document.body, 'Escape');
        return {before, upper: upper.length, words, dimmed, lit, threads, after: rows().length};""",
        tmp_path,
    )
    made = seen.answer
    assert made["before"] == made["after"] == 12
    assert 0 < made["upper"] == made["lit"] == made["threads"] < 12 and made["dimmed"]
    assert made["words"].startswith(f"{made['upper']} selected in the plots") and seen.console == []


def test_marks_are_reached_and_chosen_by_keyboard(html, tmp_path):
    made = visit(
        html,
        DRAG
        + """
        const marks = [...document.querySelectorAll('#pareto-plot .mark')];
        marks[0].focus();
        const tip = document.querySelector('#tip');
        const shown = !tip.hidden && tip.textContent.includes('AUROC');
        for (const name of ['ArrowRight', 'ArrowLeft', 'ArrowUp', 'ArrowDown']) key(document.activeElement, name);
        const moved = document.activeElement.matches('.mark');
        key(document.activeElement, 'Enter');
        return {shown, moved, pressed: document.activeElement.getAttribute('aria-pressed'), rows: rows().length,
                stops: marks.filter((mark) => mark.tabIndex === 0).length};""",
        tmp_path,
    ).answer
    assert made == {"shown": True, "moved": True, "pressed": "true", "rows": 1, "stops": 1}


def test_axes_of_the_parallel_plot_add_up(html, tmp_path):
    made = visit(
        html,
        DRAG
        + """
        const grip = (name) => document.querySelector(`.grip[data-name="${name}"]`);
        const upper = (name) => { const box = grip(name).getBoundingClientRect(); drag(grip(name), [box.left + 6, box.top - 2], [box.left + 6, box.top + box.height * 0.4]); };
        upper('backbone'); const one = rows();
        upper('colorizer'); const two = rows();
        const names = [...document.querySelectorAll('#board tbody tr')].filter((row) => !row.hidden).map((row) => row.cells[1].textContent);
        return {one: one.length, two: two.length, same: names.every((name) => name.includes('resnet18') && name.includes('no colorizer'))};""",
        tmp_path,
    ).answer
    assert made == {"one": 6, "two": 3, "same": True}


def test_sorting_filtering_and_other_axes(html, tmp_path):
    seen = visit(
        html,
        DRAG
        + """
        const heads = [...document.querySelectorAll('#board thead th[data-sort] button')];
        heads[3].click();
        const values = [...document.querySelectorAll('#board tbody tr')].map((row) => Number(row.cells[3].dataset.v));
        const rising = values.every((value, i) => !i || values[i - 1] <= value);
        heads[3].click();
        const sorted = document.querySelectorAll('#board th[aria-sort]').length === 1 && heads[3].parentNode.getAttribute('aria-sort') === 'descending';
        const filter = document.querySelector('#filter');
        filter.value = 'deconv resnet18'; filter.dispatchEvent(new Event('input'));
        const found = rows().length;
        const marks = [...document.querySelectorAll('#pareto-plot .mark')], was = marks.map((mark) => mark.getAttribute('transform')).join();
        const choice = document.querySelector('#axis-x'); choice.value = '2'; choice.dispatchEvent(new Event('change'));
        const now = marks.map((mark) => mark.getAttribute('transform')).join();
        return {rising, sorted, found, moved: was !== now, broken: now.includes('NaN')};""",
        tmp_path,
    )
    assert (
        seen.answer == {"rising": True, "sorted": True, "found": 3, "moved": True, "broken": False}
        and seen.console == []
    )


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_sideways(html, tmp_path, width):
    """In a frame, because Chromium's own window is never narrower than 500 px; every name in a list of choices is long."""
    long = html.replace("</option>", " of a sweep config with many long settings</option>")
    frame = f'<!doctype html><title>frame</title><body><iframe width="{width}" height="900" srcdoc="{escape(long)}"></iframe></body>'
    made = visit(
        frame,
        "const page = document.querySelector('iframe').contentDocument.documentElement;"
        "return {page: page.scrollWidth, window: page.clientWidth, choices: page.querySelectorAll('option').length};",
        tmp_path,
    ).answer
    assert made["page"] <= made["window"] <= width and made["choices"] > 2


def test_themes_change_the_paper(html, tmp_path):
    made = visit(
        html,
        """
        const paper = () => getComputedStyle(document.body).backgroundColor, first = paper();
        document.querySelector('#theme').click(); const second = paper();
        document.querySelector('#theme').click();
        return {changed: first !== second, back: paper() === first};""",
        tmp_path,
    ).answer
    assert made == {"changed": True, "back": True}
