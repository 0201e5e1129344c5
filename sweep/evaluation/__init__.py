"""A model and images in, numbers out: logits, metrics with their baselines, and the gap between two domains."""
