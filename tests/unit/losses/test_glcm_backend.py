"""A compiler that is absent or broken costs speed, never the run."""

import warnings

import pytest
import torch

from sweep.core import compiled
from sweep.core.errors import InputError
from sweep.losses.glcm import GLCMLoss, backend


@pytest.fixture
def numba(monkeypatch):
    """Put a package of one's own in numba's place, as its search and its import would find it."""

    def put(found, broken=None):
        def load(name):
            if broken is not None:
                raise broken
            return object()

        monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: found)
        monkeypatch.setattr(compiled.importlib, "import_module", load)
        backend.native_works.cache_clear()

    yield put
    backend.native_works.cache_clear()


def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 40, 40, generator=generator), torch.rand(2, 1, 40, 40, generator=generator)


@pytest.mark.parametrize(
    "broken",
    [
        ImportError("Numba needs NumPy 2.2 or less"),
        OSError("libllvmlite.so: cannot open"),
        AttributeError("no attribute 'long'"),
    ],
)
def test_a_numba_that_cannot_be_imported_is_said_once_and_done_without(numba, broken):
    numba(object(), broken)
    with pytest.warns(
        RuntimeWarning, match=f"numba cannot be imported \\({broken}\\); the texture loss runs in plain PyTorch"
    ) as said:
        found = GLCMLoss()(*pair())
    assert len(said) == 1
    torch.testing.assert_close(found, GLCMLoss(backend="scatter")(*pair()))
    with pytest.raises(InputError, match="use scatter or auto"):
        GLCMLoss(backend="native")(*pair())


def test_an_absent_numba_is_no_news(numba):
    numba(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not backend.native_works()
