"""One configuration: shared stages, synthetic pools, train -> evaluate -> attack, saved models. No Ray here."""
