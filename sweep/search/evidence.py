"""Mean, standard error and degrees of freedom of a paired difference -> an e-value: evidence of being ahead that may be watched at any time.

The e-value is the Bayes factor of "ahead by delta standard deviations, delta half-normal" against "not ahead", with the variance integrated
out (Rouder et al. 2009 and Gronau et al. 2020 give the integrals; Perez-Ortiz et al. 2024 show that with the right Haar prior it is a test
martingale for data of any mean and variance). If none is ahead it exceeds 1 / alpha with probability at most alpha over *all* seeds together
(Ville's inequality), so a race may be looked at after every seed, stopped, and carried on. The degrees of freedom may be more than the pair's
own where its variance is moderated by those of the other pairs; that this keeps the error rate is a matter of simulation
(`python -m benchmarks.statistics --race`).
"""

from __future__ import annotations

import numpy as np

from sweep.search.paired_differences import Lead

# Variance of delta, the lead in standard deviations of one seed's difference. With 4, three seeds of two recipes can already decide a clear
# race (the evidence of three seeds cannot exceed 2 (1 + 3 x 4)); larger values would make small leads wait longer.
EFFECT_VARIANCE = 4.0


def e_value(lead: Lead, *, beyond: float = 0.0, effect_variance: float = EFFECT_VARIANCE) -> float:
    """Evidence that the true difference is above `beyond`; 1 says nothing, infinite where the seeds do not differ at all."""
    if lead.error == 0:
        return float("inf") if lead.estimate > beyond else 0.0
    t, spread, df = (lead.estimate - beyond) / lead.error, lead.seeds * effect_variance, lead.freedom
    shrunk = df + t**2 / (1 + spread)
    two_sided = -0.5 * np.log1p(spread) + (df + 1) / 2 * np.log((df + t**2) / shrunk)
    from scipy.special import stdtr  # here, like the next: a sweep starts without waiting for SciPy

    positive = stdtr(df + 1, t * np.sqrt(spread / (1 + spread)) * np.sqrt((df + 1) / shrunk))
    return float(2 * positive * np.exp(min(two_sided, 700.0)))


def lower_bound(lead: Lead, evidence: float) -> float:
    """The largest difference that is not ruled out from below with this much evidence: end of a confidence sequence, valid at any time."""
    if lead.error == 0:
        return lead.estimate
    far = lead.estimate - lead.error
    while e_value(lead, beyond=far) < evidence:
        far -= 2 * (lead.estimate - far)
        if lead.estimate - far > 1e6 * lead.error:
            return float("-inf")
    from scipy.optimize import brentq

    return float(brentq(lambda beyond: e_value(lead, beyond=beyond) - evidence, far, lead.estimate))
