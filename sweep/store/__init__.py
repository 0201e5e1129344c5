"""The run folder: ledger, lease, trial addresses, artifacts, code versions."""
