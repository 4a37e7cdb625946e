"""What a prompt asks for: the kind of work, how hard it is, and what was seen that says so. No network, < 1 ms."""

from gateway.classify.classifier import Classifier, TaskRule
from gateway.classify.difficulty import Difficulty

__all__ = ["Classifier", "Difficulty", "TaskRule"]
