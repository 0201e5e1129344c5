"""Ray Tune and Train: job queue, worker groups, artifact server, ledger callback, preemption."""
