"""A finished data set: its columns, photometry, summary, picture, and noise-free truth."""
