"""Backends, which answer questions with a model: one small protocol and its implementations."""
