"""Audit a dataset: people judge pairs blind, and their answers are compared with its labels."""
