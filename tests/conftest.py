"""How the tests are spread over the workers of pytest-xdist (make test): end-to-end tests on one, every other file on one of them."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """End-to-end tests, which take longest, first and together; the tests of a file share its fixtures."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("e2e" if item.get_closest_marker("e2e") else item.path.name))
