"""Backends, from which a model's answers come: one small protocol and its implementations."""
