"""Rewards for reinforcement learning: pure functions of parsed answers, each in [0, 1]."""
