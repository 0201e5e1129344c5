"""Unlabelled targets: image transforms that imitate scanners, distances between hospitals, estimates of target performance."""
