"""What Pillow reads depends on its release: earlier ones refuse, in words, what these tests read."""

import PIL
import pytest

needs_pillow_13 = pytest.mark.skipif(
    int(PIL.__version__.split(".")[0]) < 13, reason="Pillow refuses this kind of TIFF before its release 13"
)
