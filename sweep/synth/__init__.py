"""Synthetic images: generators trained on the training fold, sampled in streams, judged honestly."""
