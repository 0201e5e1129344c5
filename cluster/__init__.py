"""Cluster files for every place a sweep can run, and the command that checks them offline."""
