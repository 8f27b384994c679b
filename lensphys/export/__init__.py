"""Results of fits for people and other programs: tables, pictures, dictionaries of parameters."""
