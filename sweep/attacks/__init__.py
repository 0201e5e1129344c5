"""Robustness that can be believed: threats as rows, one engine for every epsilon, alarms for masked gradients."""
