"""Admission to the engines of this box: who may start now, who waits, who is sent elsewhere.

The gate measures nothing itself. Its first signal is its own count of what it has let in; what the engines
report about themselves comes as `EngineView`s.
"""

from gateway.gate.admission import Gate, GateSettings
from gateway.gate.engine import Ask, Elsewhere, Learnt
from gateway.gate.post import Applicant

__all__ = ["Applicant", "Ask", "Elsewhere", "Gate", "GateSettings", "Learnt"]
