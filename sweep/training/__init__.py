"""Training: the loop, its schedules, its losses and exact resume."""
