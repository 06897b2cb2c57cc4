"""The whole path at small scale: pairs, three stages, evaluation, a report; and a one-minute tour without training."""

from redaes.demo.quick import TourScale, run_tour
from redaes.demo.steps import DemoScale, run

__all__ = ["DemoScale", "TourScale", "run", "run_tour"]
