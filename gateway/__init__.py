"""Forebay's gateway: from the door to the ledger.

One request, in seven steps:

1. **Edge** (`server`): authenticate the key, bound and parse the body into a `ChatRequest`.
2. **Policy** (`policy`): tenant and request become `Constraints`. Unknown means refuse.
3. **Classify** (`classify`): cheap signals become a `Classification`. No network, under a millisecond.
4. **Route** (`routing`): a pure function orders the candidates, each with expected cost and a reason.
5. **For each candidate** (`broker`, the only loop): gate → call → score → accept, escalate, or give up.
6. **Commit**: the first byte leaves. From here nothing is switched.
7. **Settle**: exactly one `Outcome` per request goes to the ledger, the log and telemetry.

Arrows between rooms run one way; `pyproject.toml` holds the contract that breaks the build.
"""
