"""Launcher files for clouds, own machines, Kubernetes and Slurm; their offline check; job submission."""
