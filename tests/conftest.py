"""What every test run shares: a cache folder of its own, and how the tests are spread over the workers of pytest-xdist."""

import os
import tempfile

import pytest

END_TO_END = "tests/integration/"

if "PYTEST_XDIST_WORKER" not in os.environ:  # the workers share the folder of the process that started them
    _CACHE = tempfile.TemporaryDirectory(prefix="recipe-cache-")
    os.environ["RECIPE_CACHE"] = _CACHE.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """End-to-end tests, which take longest, first."""
    items.sort(key=lambda item: not item.nodeid.startswith(END_TO_END))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """All end-to-end tests on one worker; the tests of any other file, which share its fixtures, on one.

    By the path of the file: the `xdist_group` marks of pytest-xdist 3.8 have no effect under pytest 9.2, which does not let a plugin
    rename a test.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            path = nodeid.split("::", 1)[0]
            return END_TO_END if path.startswith(END_TO_END) else path

    return ByFile(config, log)


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
