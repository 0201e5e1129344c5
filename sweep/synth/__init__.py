"""Synthetic images: generators trained on the training fold, sampling in streams, quality and copy checks."""
