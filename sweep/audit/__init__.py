"""What could fool an experiment on a data set: near-duplicates, leaks, label conflicts, imbalance, shortcut features."""
