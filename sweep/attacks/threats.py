"""The table of threats, and how names are resolved to its rows.

A bare name (`pgd`) has torchattacks' default settings, which are also those of the Domain Assimilation paper's attacks. A
name with a step count (`pgd20`, `bim50`, `pgd50x5`) has a step size proportional to epsilon and, where it starts at random,
three restarts of which the best counts. Suffixes: `_margin` climbs the margin, `_l2` measures in L2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sweep.attacks.threat import L2, LIBRARY_PREFIX, Threat
from sweep.core.deferred import Deferred
from sweep.core.errors import InputError, suggestion

_ALPHA = 2 / 255  # torchattacks' default step of BIM, PGD and MI-FGSM, whatever the epsilon
RESTARTS = 3


def _method(name: str) -> Deferred:
    """A sweep config is checked against the names of the table without importing torch."""
    return Deferred(f"sweep.attacks.methods.{name}", name)


_GRADIENT_STEPS = _method("gradient_steps")

THREATS: dict[str, Threat] = {
    row.name: row
    for row in (
        Threat("fgsm", _GRADIENT_STEPS, steps=1),
        Threat("bim", _GRADIENT_STEPS, alpha=_ALPHA),
        Threat("pgd", _GRADIENT_STEPS, alpha=_ALPHA, random_start=True),
        Threat("mifgsm", _GRADIENT_STEPS, alpha=_ALPHA, decay=1.0),
        Threat("pgd_l2", _GRADIENT_STEPS, norm=L2, alpha=0.2, random_start=True),
        Threat("apgd", _method("apgd"), random_start=True),
        Threat("square", _method("square"), steps=5000, family="black_box"),
        Threat("fmn", _method("minimum_norm"), steps=50, loss="margin", once=True),
        Threat("noise", _method("noise"), family="noise"),
    )
}
_ELSEWHERE = {"fab": "torchattacks:FAB"}  # not in the table above, so that naming threats does not load the library
_ITERATED = ("bim", "pgd", "mifgsm")
_NAME = re.compile(r"(?P<base>[a-z]+?)(?P<steps>\d+)?(?:x(?P<restarts>\d+))?(?P<margin>_margin)?(?P<l2>_l2)?")


def resolve_threat(threat: str | Threat) -> Threat:
    """The row that a name stands for; InputError with a suggestion for an unknown name."""
    if isinstance(threat, Threat):
        return threat
    if not isinstance(threat, str):
        raise InputError("threats", f"{threat!r} is no name", f"write one of {', '.join(THREATS)}")
    if threat in THREATS:
        return THREATS[threat]
    if threat in _ELSEWHERE:
        return replace(resolve_threat(_ELSEWHERE[threat]), name=threat)
    if threat == "transfer":
        raise InputError(
            "threats", "'transfer' needs another model", "build it with transfer_from(model), or leave it out"
        )
    if threat.startswith(LIBRARY_PREFIX):
        from sweep.attacks.methods.torchattacks_library import library_threat

        return library_threat(threat.removeprefix(LIBRARY_PREFIX))
    parts = _NAME.fullmatch(threat)
    if parts is None or parts["base"] not in THREATS:
        raise InputError("threats", f"{threat!r} is unknown", suggestion(threat, (*THREATS, *_ELSEWHERE)))
    _refuse_undefined(threat, parts)
    row = replace(THREATS[parts["base"]], name=threat)
    if parts["steps"]:
        row = _with_steps(row, parts["base"], int(parts["steps"]))
    if parts["restarts"]:
        row = replace(row, restarts=_at_least_one(threat, int(parts["restarts"])))
    if parts["margin"]:
        row = replace(row, loss="margin")
    return replace(row, norm=L2) if parts["l2"] else row


def resolve_threats(threats: Iterable[str | Threat] | Mapping[str, str | Threat]) -> dict[str, Threat]:
    """Rows by name, in the order given; a mapping gives them the caller's names."""
    if isinstance(threats, str):
        threats = [threats]
    items = threats.items() if isinstance(threats, Mapping) else ((None, item) for item in threats)
    rows = {}
    for name, item in items:
        row = resolve_threat(item)
        rows[name or row.name] = row
    if not rows:
        raise InputError("threats", "the list is empty", "name at least one, e.g. [fgsm, pgd20]")
    return rows


def _refuse_undefined(name: str, parts: re.Match[str]) -> None:
    base = parts["base"]
    if base == "square" and parts["l2"]:
        fix = "write apgd_l2, pgd20_l2 or fmn_l2; in Python also library_threat('Square', norm='L2')"
        raise InputError("threats", f"{name!r}: the squares of this attack are in Linf", fix)
    if base == "fgsm" and parts["steps"]:
        raise InputError("threats", f"{name!r}: FGSM is one step", f"write bim{parts['steps']}")
    if base in _ITERATED and parts["l2"] and not parts["steps"]:
        raise InputError("threats", f"{name!r} has no default settings", f"give the steps, e.g. {base}20_l2")


def _with_steps(row: Threat, base: str, steps: int) -> Threat:
    steps = _at_least_one(row.name, steps)
    if base not in _ITERATED:
        return replace(row, steps=steps)
    restarts = RESTARTS if row.random_start else 1
    return replace(row, steps=steps, alpha=None, alpha_per_eps=max(0.25, 2.5 / steps), restarts=restarts)


def _at_least_one(name: str, number: int) -> int:
    if number < 1:
        raise InputError("threats", f"{name!r} asks for {number} steps", "give at least 1")
    return number
