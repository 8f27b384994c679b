"""The reports of the shipped tasks: tables, headline measures, notes and captions, one file each.

Nothing here imports torch.
"""
