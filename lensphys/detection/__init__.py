"""Dark-matter maps: the best mass, its error and the S/N of a perturber in every place of an image.

To first order in the mass, and marginalised over everything that was fitted: macro model, source,
lens light and sky.
"""
