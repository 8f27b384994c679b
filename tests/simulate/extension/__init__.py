"""Code that an extension would bring: a substructure class and a preset."""
