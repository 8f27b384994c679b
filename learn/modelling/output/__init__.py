"""The folder of models: what is there already, what is written, and the page on all lenses."""
