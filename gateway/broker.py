"""The corridor: from a parsed request to an answer that may leave.

decide     policy → classify → route
walk       for each candidate: call → score → accept, escalate, or fall back
commit     the first byte may leave; nothing is switched after it
record     exactly one Outcome, however it ends
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from gateway.attempt import Attempts, OpenAnswer
from gateway.classify import Classifier
from gateway.committed import CommittedAnswer
from gateway.confidence import Confidence
from gateway.decision import Decider
from gateway.errors import AttemptError, Code, Reason
from gateway.escalation import Accept, Blocked, Decision, Escalate, GiveUp, Limits, Progress, decide
from gateway.messages import ChatRequest, Completion
from gateway.outcome import Outcome, OutcomeStatus
from gateway.policy import Policy
from gateway.ports import Recorder
from gateway.probation import Window, hold, window_for
from gateway.record import failed_decision, failed_walk
from gateway.refusals import nobody_allowed, nobody_answered
from gateway.routing import RoutingTable
from gateway.run import Arrival, Attempt, Counted, Decided, Run
from gateway.throttle import EscalationThrottle
from gateway.types import Candidate, Identity, Score, TokenCount


class Stages(Struct, frozen=True, kw_only=True):
    """The rooms a request passes through."""

    policy: Policy
    classifier: Classifier
    table: RoutingTable
    attempts: Attempts
    confidence: Confidence
    throttle: EscalationThrottle
    recorder: Recorder


class BrokerSettings(Struct, frozen=True, kw_only=True):
    """Plain values from the configuration; `policy` is the hash that names the rules in force."""

    limits: Limits
    window: Window
    request_timeout_s: float
    policy: str


class Step(Struct, frozen=True):
    """Whom to ask next, and why."""

    candidate: Candidate
    reason: Reason


class Held(Protocol):
    """An answer that is not committed yet."""

    attempt: Attempt

    def discard(self) -> None:
        """Another answer goes out instead."""

    def cancel(self) -> None:
        """The caller hung up."""


H = TypeVar("H", bound=Held)


class WholeAnswer(Struct):
    """An unstreamed answer."""

    attempt: Attempt
    completion: Completion

    def discard(self) -> None:
        """Nothing is open any more."""

    def cancel(self) -> None:
        """Nothing is open any more."""


class Broker:
    """Answers requests. One per process; it holds no state of any request."""

    def __init__(self, stages: Stages, settings: BrokerSettings) -> None:
        self._stages = stages
        self._settings = settings
        self._decider = Decider(stages.policy, stages.classifier, stages.table)

    async def answer(self, request: ChatRequest, identity: Identity) -> tuple[Completion, Outcome]:
        """The whole answer, and the record of how it came about. Raises AnswerError."""
        run = self._start(request, identity)
        held = await self._walk_on_record(run, self._ask)
        outcome = run.outcome(OutcomeStatus.OK, held.attempt)
        self._record(outcome)
        return held.completion, outcome

    async def stream(self, request: ChatRequest, identity: Identity) -> CommittedAnswer:
        """The answer in pieces, at the point where its first byte may leave. Raises AnswerError."""
        run = self._start(request, identity)
        held = await self._walk_on_record(run, self._open)
        run.ttft_s = run.arrival.elapsed()
        return CommittedAnswer(run, held, self._stages.confidence, self._settle)

    async def count(self, request: ChatRequest, identity: Identity) -> Counted:
        """The tokens of a prompt, for whoever would be asked first. Raises AnswerError.

        It may go where an answer may be sought and nowhere else. Nothing is recorded, for nothing is answered and
        nothing charged: clients ask before each turn, and a row of each would water down every rate in the ledger.
        """
        decided, attempts = self.decide(request, identity), self._stages.attempts
        if not decided.route.candidates:
            raise nobody_allowed(decided.route.excluded, decided.constraints)
        candidate = decided.route.candidates[0]
        tokens = await attempts.count(request, decided)
        return Counted(
            candidate=candidate,
            prompt=decided.classification.prompt if tokens is None else TokenCount(tokens),
            asked=tokens is not None,
            ignored=tuple(sorted({*request.ignored, *attempts.ignored(candidate.backend, request)})),
            policy=self._settings.policy,
        )

    def decide(self, request: ChatRequest, identity: Identity) -> Decided:
        """Policy, classification and route, without asking anybody. Raises RequestError."""
        deadline = asyncio.get_running_loop().time() + self._settings.request_timeout_s
        return self._decider.decide(request, identity, deadline)

    def _start(self, request: ChatRequest, identity: Identity) -> Run:
        arrival = Arrival.now(request, identity, self._settings.policy)
        try:
            return Run(arrival, self.decide(request, identity))
        except Exception as error:
            self._record(failed_decision(arrival, error))
            raise

    async def _walk_on_record(self, run: Run, ask: Callable[[Run, Step], Awaitable[H]]) -> H:
        """Walk; should that fail, the record says how."""
        try:
            return await self._walk(run, ask)
        except (Exception, asyncio.CancelledError) as error:
            self._record(failed_walk(run, error))
            raise

    async def _walk(self, run: Run, ask: Callable[[Run, Step], Awaitable[H]]) -> H:
        """Ask one candidate after the other until an answer is good enough or nobody is left."""
        route = run.decided.route
        if not route.candidates:
            raise nobody_allowed(route.excluded, run.decided.constraints, run.request.prompt_field)
        step: Step | None = Step(route.candidates[0], route.candidates[0].reason)
        best: H | None = None
        try:
            while step is not None:
                run.tried.add(step.candidate.backend)
                run.in_hand = best is not None
                untried = self._untried(run)
                run.alone = best is None and not untried
                run.left_nano = self._settings.limits.max_cost_nano - run.spent_nano
                run.others = self._affordable(run, untried, best)
                try:
                    held = await ask(run, step)
                except AttemptError as error:
                    run.failed(step.candidate, error)
                    step = self._fall_back(run, error.reason, best) or self._shortened(run, step, error, best)
                else:
                    best = _better(best, held)
                    step = self._after(run, held.attempt, untried)
        except BaseException:
            if best is not None:
                best.cancel()
            raise
        if best is None:
            raise nobody_answered(run.errors, deadline_passed=_past(run), param=run.request.prompt_field)
        return best

    async def _ask(self, run: Run, step: Step) -> WholeAnswer:
        """One candidate's whole answer, scored."""
        attempt, completion = await self._stages.attempts.complete(run, step.candidate, step.reason, alone=run.alone)
        attempt.score = self._stages.confidence.judge(run.request, completion, attempt.answerer)
        return WholeAnswer(attempt, completion)

    async def _open(self, run: Run, step: Step) -> OpenAnswer:
        """One candidate's answer as far as its window reaches, scored."""
        run.held_s = self._window(run, step, calls=len(run.attempts) + 1).seconds
        answer = await self._stages.attempts.open(run, step.candidate, step.reason, alone=run.alone)
        try:
            await hold(answer, self._window(run, step, calls=len(run.attempts)))
            answer.attempt.score = self._stages.confidence.judge(
                run.request, answer.completion(), answer.attempt.answerer, partial=not answer.ended
            )
        except BaseException:
            answer.cancel()
            raise
        return answer

    def _window(self, run: Run, step: Step, *, calls: int) -> Window:
        """What of its answer is held back, which will have been the last of so many calls."""
        more = self._may_escalate(run, step, calls)
        return window_for(
            run.request, step.candidate.tier, self._settings.window, may_escalate=more, in_hand=run.in_hand
        )

    def _after(self, run: Run, attempt: Attempt, untried: Sequence[Candidate]) -> Step | None:
        """What follows an answer, with these left to ask."""
        match self._decision(run, attempt, untried):
            case Escalate(target=target, reason=reason):
                run.escalated = True
                return Step(target, reason)
            case GiveUp(because=because):
                run.gave_up = because
            case Accept():
                run.accepted = attempt
        return None

    def _decision(self, run: Run, attempt: Attempt, untried: Sequence[Candidate]) -> Decision:
        progress = Progress(
            complexity=run.decided.classification.complexity,
            attempts=len(run.attempts),
            spent_nano=run.spent_nano,
            blocked=self._blocked(run),
        )
        score = attempt.score or Score(value=None)
        return decide(score, attempt.candidate.tier, untried, self._settings.limits, progress)

    def _fall_back(self, run: Run, reason: Reason, best: Held | None) -> Step | None:
        """Who is asked instead of a candidate that failed: nobody weaker than an answer that is held already."""
        if len(run.attempts) >= self._settings.limits.max_attempts or _past(run):
            return None
        others = self._affordable(run, self._untried(run), best)
        step = Step(others[0], reason) if others else None
        # Late is better than never: whom a gate has sent to others comes back when none of them has answered.
        if step is None and best is None and (back := run.sent_away()) is not None:
            step = Step(back, reason)
        return step

    def _affordable(self, run: Run, untried: Sequence[Candidate], best: Held | None) -> list[Candidate]:
        """Who of these may be asked if the candidate asked at present fails."""
        most = self._settings.limits.max_cost_nano - run.spent_nano
        floor = -1 if best is None else best.attempt.candidate.tier.rank
        return [each for each in untried if each.tier.rank > floor and each.cost_nano <= most]

    def _shortened(self, run: Run, step: Step, error: AttemptError, best: Held | None) -> Step | None:
        """The same candidate with fewer turns, where it counts more tokens than we do and nobody else is left."""
        limits = self._settings.limits
        if error.reason is not Reason.CONTEXT_LENGTH or best is not None:
            return None
        if len(run.attempts) >= limits.max_attempts or _past(run):
            return None
        shorter = self._decider.shorter(run.decided, run.arrival.identity)
        if shorter is None:
            return None
        run.shortened(shorter)
        same = (each for each in shorter.route.candidates if each.backend == step.candidate.backend)
        return next((Step(candidate, error.reason) for candidate in same), None)

    def _may_escalate(self, run: Run, step: Step, calls: int) -> bool:
        """Whether an answer of this step could be followed by a stronger one: if not, holding it is idle delay."""
        limits = self._settings.limits
        return (
            self._blocked(run) is None
            and calls < limits.max_attempts
            and any(
                each.tier.rank > step.candidate.tier.rank and run.spent_nano + each.cost_nano <= limits.max_cost_nano
                for each in self._untried(run)
            )
        )

    def _blocked(self, run: Run) -> Blocked | None:
        if not run.decided.constraints.escalation_allowed:
            return "not_allowed"
        if self._stages.throttle.braking and not run.decided.constraints.sla.escalation_priority:
            return "throttled"
        return None

    def _untried(self, run: Run) -> list[Candidate]:
        return [each for each in run.decided.route.candidates if each.backend not in run.tried]

    def _settle(self, run: Run, attempt: Attempt, status: OutcomeStatus, code: Code | None) -> Outcome:
        """The record of a streamed answer that is over.

        What was accepted for its beginning is decided on once more as a whole: how much of it had come when it was
        committed is chance, and the record is not to depend on it.
        """
        if status is OutcomeStatus.OK and run.accepted is attempt:
            match self._decision(run, attempt, self._untried(run)):
                case Escalate():
                    run.gave_up = "committed"
                case GiveUp(because=because):
                    run.gave_up = because
        outcome = run.outcome(status, attempt, code=code)
        self._record(outcome)
        return outcome

    def _record(self, outcome: Outcome) -> None:
        self._stages.throttle.record(escalated=outcome.escalated)
        self._stages.recorder.record(outcome)


def _better(best: H | None, held: H) -> H:
    """The structurally valid answer of the strongest tier; the other one is let go.

    Scores of different models are not comparable, so they do not count here.
    """
    if best is None:
        return held
    winner, loser = (best, held) if _standing(best) > _standing(held) else (held, best)
    loser.discard()
    return winner


def _standing(held: Held) -> tuple[bool, int]:
    score = held.attempt.score
    return (score is None or score.valid, held.attempt.candidate.tier.rank)


def _past(run: Run) -> bool:
    return asyncio.get_running_loop().time() >= run.decided.constraints.deadline
