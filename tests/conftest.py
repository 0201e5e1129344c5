"""What every test process shares: a cache folder of its own, so that no test writes into the user's."""

import os
import tempfile

_CACHE = tempfile.TemporaryDirectory(prefix="recipe-cache-")
os.environ["RECIPE_CACHE"] = _CACHE.name
