"""Attention of the Qwen-VL families over rows in which what several answers share stands once."""
