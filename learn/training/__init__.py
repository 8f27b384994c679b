"""The training loop, its optimiser, what is monitored, and training on several devices."""
