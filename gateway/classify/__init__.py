"""What a prompt asks for: the kind of work, how hard it is, and what was seen that says so. No network, < 1 ms."""

from gateway.classify.classifier import Classifier
from gateway.classify.difficulty import Difficulty
from gateway.classify.tasks import DEFAULT_TASKS, TaskRule

__all__ = ["DEFAULT_TASKS", "Classifier", "Difficulty", "TaskRule"]
