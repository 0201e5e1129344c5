"""What every test process shares: a cache folder of its own, and how the tests are spread over the workers of pytest-xdist."""

import os
import tempfile

import pytest

_CACHE = tempfile.TemporaryDirectory(prefix="recipe-cache-")
os.environ["RECIPE_CACHE"] = _CACHE.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """End-to-end tests, which take longest, first and on one worker; the tests of a file, which share its fixtures, on one."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("e2e" if item.get_closest_marker("e2e") else item.path.name))


def pytest_runtest_setup(item):
    """A test marked `gpu` is skipped, with the reason, where there is no GPU."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture
def gpu():
    """The device of the tests that are marked `gpu`."""
    return "cuda"
