"""Ray's own validation of a cluster launcher file: its schema, then the preparation that `ray up` does before it calls a cloud."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.document import Document
from cluster.versions import Versions
from sweep.core.errors import InputError, suggestion
from sweep.core.ray_internals import validate_launcher_file

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator


def ray_schema(document: Document, versions: Versions) -> Iterator[InputError]:
    """Every violation of Ray's schema."""
    for error in _validator().iter_errors(document.tree):
        yield from _violations(document, error)


def ray_preparation(document: Document, versions: Versions) -> Iterator[InputError]:
    """The first error of what `ray up` does with the file before it calls a cloud, if any."""
    said, log = io.StringIO(), logging.getLogger("ray.autoscaler")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            validate_launcher_file(copy.deepcopy(document.tree))
    # Ray aborts with whatever comes up: KeyError, AssertionError, ClickException
    except (Exception, SystemExit) as mistake:  # noqa: BLE001
        reason = " ".join(str(getattr(mistake, "message", "") or mistake or said.getvalue()).split())
        yield document.violation((), f"Ray refuses it ({type(mistake).__name__}: {reason})", "correct what it names")
    finally:
        log.setLevel(level)


@cache
def _validator() -> Validator:
    import jsonschema
    import ray.autoscaler

    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft7Validator(schema)


def _violations(document: Document, error: ValidationError) -> Iterator[InputError]:
    place = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for name in sorted(set(error.instance) - set(known)):
            yield document.violation((*place, name), "unknown key", suggestion(name, known))
    elif error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        yield document.violation((*place, missing), "is missing", "add it, as in the files of cluster/")
    elif error.validator == "type":
        wanted = " or ".join(
            [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
        )
        yield document.violation(place, f"{error.instance!r} is not of type {wanted}", f"write it as {wanted}")
    elif error.validator == "minimum":
        yield document.violation(place, f"{error.instance!r} is too small", f"give at least {error.validator_value}")
    else:
        yield document.violation(place, error.message, "see the files of cluster/ for the form")
