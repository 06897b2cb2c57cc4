"""Evaluation: how often a model is right, with intervals, failures counted."""
