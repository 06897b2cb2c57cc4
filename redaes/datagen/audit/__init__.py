"""People judge pairs of a dataset blind, and what they say is held against its labels."""
