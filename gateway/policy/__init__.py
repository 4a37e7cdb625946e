"""What a request may do: tenant and request become `Constraints`. Callers can narrow them, never widen them."""

from gateway.policy.constraints import Lengths, Policy
from gateway.policy.identity import Identities
from gateway.policy.residency import Regions

__all__ = ["Identities", "Lengths", "Policy", "Regions"]
