"""Reasoning for the pairs of a dataset that have none: of people's judgements, which come without."""
