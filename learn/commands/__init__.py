"""The commands of the front door; each reads its settings and calls one function."""
