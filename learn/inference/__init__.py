"""The use of a trained network: evaluate, predict and export."""
