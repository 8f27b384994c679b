"""Dark-matter substructure: the classes, and how the mass of each is drawn."""
