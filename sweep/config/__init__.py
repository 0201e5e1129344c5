"""The sweep config: its schema, the hyperparameters it may name, their conditions, and checks with line, value and fix."""
