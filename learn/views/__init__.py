"""Views: the changed, masked or perturbed images that a method learns from."""
