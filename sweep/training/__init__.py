"""A model and batches in, the same model trained out: the loop, its schedules, its losses and its exact resume."""
