"""Audit a dataset: people judge pairs without seeing their labels, and their answers are compared with the labels."""
