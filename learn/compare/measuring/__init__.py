"""The measurement of a cell, and the data sets, encoders and features that cells share."""
