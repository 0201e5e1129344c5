"""Adversarial robustness: threats as table rows, one engine for all epsilons, alarms for masked gradients."""
