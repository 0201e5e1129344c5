"""Checks of what a sweep needs: machine, cluster, storage, data, weights."""
