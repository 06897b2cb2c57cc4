"""Attention of the Qwen-VL families over packed rows, in which the common beginning of several answers occurs once."""
