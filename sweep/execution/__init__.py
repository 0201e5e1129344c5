"""Runs a plan: worker loop, live table, and the Ray side under `execution/ray`."""
