"""The question file: its shape, the hyperparameters that it may name, what they decide, and every mistake that it can hold."""
