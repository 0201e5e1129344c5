"""What will run, where and at what cost: grid, plan, preflight, capacity, budget."""
