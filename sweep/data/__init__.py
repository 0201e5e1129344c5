"""Shard folders -> the data of a run: domains, splits, folds."""
