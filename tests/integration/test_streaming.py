"""More images than a worker should hold: 50,000 of them stream through two train workers, whose memory stays as it was."""

import pytest

from benchmarks.streaming import measured

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]
IMAGES, PX = 50_000, 64


def test_fifty_thousand_images_stream_through_two_workers_in_constant_memory():
    facts = measured(IMAGES, PX)
    assert facts["seen"] > IMAGES * 0.99  # full batches only
    assert facts["decoded_mb"] > 200 and facts["grown_mb"] < 60, facts
