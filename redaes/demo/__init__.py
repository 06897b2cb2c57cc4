"""The whole path at small scale: edit photographs, train in three stages, evaluate each, report."""

from redaes.demo.steps import DemoScale, run

__all__ = ["DemoScale", "run"]
