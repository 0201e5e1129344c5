"""The garbage collector is paused inside the block alone, whatever happens there."""

import gc

import pytest

from sweep.core.garbage import collection_paused


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_as_before_after_the_block(on):
    before = gc.isenabled()
    try:
        (gc.enable if on else gc.disable)()
        with pytest.raises(KeyError), collection_paused():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() == on
    finally:
        (gc.enable if before else gc.disable)()
