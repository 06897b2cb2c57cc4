"""Rewards for reinforcement learning: pure functions of parsed answers, each in [0, 1]; and :func:`as_reward`, which
makes an assessor a reward for training image generators.
"""

from redaes.rewards.assessor_reward import AssessorReward, PictureReward, RewardReport, as_reward

__all__ = ["AssessorReward", "PictureReward", "RewardReport", "as_reward"]
