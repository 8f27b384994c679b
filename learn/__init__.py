"""Self-supervised pretraining on simulated lenses, and the tasks that follow from it."""
