"""What to try next and what to stop: draws, searchers, fronts, halving, racing; no Ray and no training in here."""
