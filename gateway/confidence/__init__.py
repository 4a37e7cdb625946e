"""How far an answer can be trusted, from what it is made of: tokens, structure, words."""

from gateway.confidence.evidence import Calibration, Floors
from gateway.confidence.judge import Confidence

__all__ = ["Calibration", "Confidence", "Floors"]
