"""Images are opened in one place: by content, of listed formats only, and with limits that hold before decoding."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sweep.core.images import FORMATS, UnreadableImage, image_format, open_image
from tests.fakes.pictures import picture

ROOT = Path(__file__).parents[3]


def test_no_other_module_opens_images():
    found = []
    for folder in ("sweep", "analysis", "benchmarks", "cluster"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Image.open", "PIL.Image.open"):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert len(found) == 1 and found[0].startswith("sweep/core/images.py")


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "PPM"])
def test_every_listed_format_is_told_by_its_content(name):
    stream = io.BytesIO()
    Image.fromarray(picture(1)).save(stream, format=name)
    assert image_format(stream.getvalue()[:16]) == name
    with open_image(stream) as image:
        assert image.size == (52, 40)


@pytest.mark.parametrize("name", ["EPS", "PDF", "PCX", "SGI", "ICO", "TGA"])
def test_other_formats_are_not_opened(tmp_path, name):
    path = tmp_path / "scan.png"
    Image.fromarray(picture(1)).save(path, format=name)
    with pytest.raises(UnreadableImage, match="not an image"), open_image(path):
        pass


def test_postscript_never_reaches_an_interpreter(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *rest: pytest.fail("Ghostscript was started"))
    program = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n{ } loop\n%%EOF\n"
    (tmp_path / "scan.png").write_text(program)
    with pytest.raises(UnreadableImage, match="not an image"), open_image(tmp_path / "scan.png") as image:
        image.load()


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(picture(1)).save(stream, format="JPEG", progressive=True)
    data = stream.getvalue()
    last = data.rindex(b"\xff\xda")
    (tmp_path / "x.jpg").write_bytes(data[:-2] + data[last:-2] * 5000 + data[-2:])
    with pytest.raises(UnreadableImage, match=r"a JPEG of 5,0\d\d scans"), open_image(tmp_path / "x.jpg"):
        pass
    with open_image(stream) as image:
        assert np.asarray(image).shape == (40, 52)


def test_tga_has_no_signature_and_is_tried_by_its_name_alone(tmp_path):
    Image.fromarray(picture(1)).save(tmp_path / "x.tga")
    with open_image(tmp_path / "x.tga") as image:
        assert np.array_equal(np.asarray(image), picture(1))
