"""The shipped configurations: one YAML file a model, method, task or tier."""
