"""The compiled search for letters finds what the plain one finds, box for box."""

import os
import subprocess
import sys

import pytest

COMPARE = """
import numpy as np
from PIL import Image, ImageDraw
from sweep.audit import strokes
from sweep.audit.burned_in_text import PLAIN, compiled, marks
from sweep.core.seeds import rng

search, found = compiled(), 0
assert search is not PLAIN
for number in range(COUNT):
    draw = rng(number, "letters")
    image = Image.fromarray(np.clip(draw.normal(30, 12, (64, 96)), 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for text in ("LT", "RT 2", "BREAST", "+")[: 1 + number % 4]:
        pen.text((int(draw.integers(60)), int(draw.integers(50))), text, fill=int(draw.integers(150, 256)))
    grey = np.asarray(image).copy()
    plain = marks(grey, PLAIN)
    assert marks(grey, search) == plain, number
    for level in strokes.SURROUNDINGS:
        assert search.longest_line(grey, level) == PLAIN.longest_line(grey, level), (number, level)
    found += len(plain)
assert found > COUNT / 2, found
"""


@pytest.mark.parametrize(
    ("compiled", "count"),
    [(False, 12), pytest.param(True, 400, marks=pytest.mark.slow)],
    ids=["interpreted", "compiled"],
)
def test_both_searches_find_the_same_boxes(compiled, count):
    variables = os.environ | ({} if compiled else {"NUMBA_DISABLE_JIT": "1"})
    code = COMPARE.replace("COUNT", str(count))
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
