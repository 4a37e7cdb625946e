"""An explanation as a person reads it: the decision first, then what it is made of, then what could change it."""

from collections.abc import Sequence
from types import MappingProxyType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.app.explanation import Bounds, CandidateLine, ExcludedLine, Explanation, Outlook, StandbyLine
from gateway.cli.columns import columns
from gateway.cli.summary import dollars
from gateway.types import Signal

# Below the first few, signals are noise to a reader; JSON has them all.
_SIGNALS_SHOWN = 12
_BAR = 24

_KEPT = MappingProxyType(
    {
        "no_stronger_tier": "nobody stronger may answer",
        "not_allowed": "the request forbids escalation",
        "attempts": "one call is all a request gets (policy.escalation.max_attempts)",
        "cost": "a second call would cost more than policy.escalation.max_cost_usd",
    }
)


def show(out: Console, explanation: Explanation) -> None:
    """Print it."""
    out.print(_headline(explanation), soft_wrap=True)
    out.print(_facts(explanation))
    _titled(out, "Signals", _signals(explanation, bars=out.is_terminal))
    if explanation.candidates:
        _titled(out, "Candidates, in order", _candidates(explanation.candidates))
    if explanation.excluded:
        _titled(out, "Not allowed", _excluded(explanation.excluded))
    if explanation.escalation is not None:
        out.print()
        for sentence in _outlook(explanation, explanation.escalation):
            out.print(sentence, soft_wrap=True)


def _headline(explanation: Explanation) -> Text:
    if explanation.refusal is not None:
        refusal = explanation.refusal
        return Text(f"refused with {refusal.status} {refusal.code}: {refusal.message}", style="bold red")
    first = explanation.candidates[0]
    return Text.assemble(
        (f"{first.tier}", "bold green"),
        f": {first.backend} ({first.model}), because ",
        (f"{explanation.reason}", "bold"),
    )


def _facts(explanation: Explanation) -> Table:
    bounds, prompt = explanation.constraints, explanation.prompt
    starts = "" if explanation.task_start is None else f"; the task table starts it at {explanation.task_start}"
    needs = f"; {', '.join(bounds.needs)}" if bounds.needs else ""
    likely = f"score {explanation.score:.2f}, P(the light tier is good enough) {explanation.p_light:.2f}"
    tiers = f"work that is not clearly easy starts at {bounds.default_tier}, the most is {bounds.max_tier}"
    facts = columns("", "")
    facts.show_header = False
    facts.add_row("complexity", f"{explanation.complexity}: {likely}")
    facts.add_row("task", f"{explanation.task} ({explanation.task_source}){starts}")
    answer = f"answer about {explanation.expected_output}{_at_most(explanation)}"
    facts.add_row("tokens", f"prompt {prompt.tokens} ± {prompt.error}, {answer}")
    facts.add_row("needs", f"room for {bounds.tokens_needed} tokens{needs}")
    facts.add_row("data", f"may go {_where_to(bounds)}")
    facts.add_row("class", f"{bounds.sla_class}: {tiers}")
    facts.add_row("decided", f"in {explanation.decision_ms:.2f} ms, under policy {explanation.policy}")
    return facts


def _at_most(explanation: Explanation) -> str:
    if explanation.max_output is None:
        return ""
    return f", at most {explanation.max_output}{' by policy' if explanation.imposed else ''}"


def _where_to(bounds: Bounds) -> str:
    if bounds.local_only:
        return "nowhere: it stays on this box"
    return "anywhere" if bounds.regions is None else f"to {', '.join(bounds.regions) or 'no region at all'}"


def _signals(explanation: Explanation, *, bars: bool) -> Table:
    table = columns("Signal", ">Value", ">Weight", *(("",) if bars else ()))
    shown = explanation.signals[:_SIGNALS_SHOWN]
    others = explanation.signals[_SIGNALS_SHOWN:]
    longest = max((abs(signal.weight) for signal in shown), default=0.0)
    for signal in shown:
        bar = (_bar(signal, longest),) if bars else ()
        table.add_row(signal.name, f"{signal.value:.3g}", f"{signal.weight:+.2f}", *bar)
    if others:
        table.add_row(f"{len(others)} more", "", f"{sum(signal.weight for signal in others):+.2f}")
    table.add_row("base", "", f"{explanation.base:+.2f}")
    return table


def _bar(signal: Signal, longest: float) -> Text:
    """Red pushes towards hard, green towards easy."""
    length = round(_BAR * abs(signal.weight) / longest) if longest else 0
    return Text("█" * length, style="red" if signal.weight > 0 else "green")


def _candidates(lines: Sequence[CandidateLine]) -> Table:
    table = columns("Tier", "Backend", "Model", "Where", ">Expected cost")
    for line in lines:
        where = f"this box, {line.region}" if line.on_box else line.region
        cost = f"${dollars(line.expected_cost_usd)}" if line.expected_cost_usd else "free"
        table.add_row(line.tier, line.backend, line.model, where, cost)
        if line.standby is not None:
            table.add_row("", f"else {line.standby.engine}", line.standby.model, _standing_by(line.standby), "")
    return table


def _standing_by(standby: StandbyLine) -> str:
    return "while its engine is not up" if standby.because is None else f"not for this: {standby.because}"


def _excluded(lines: Sequence[ExcludedLine]) -> Table:
    table = columns("Tier", "Backend", "Reason", "")
    for line in lines:
        table.add_row(line.tier, line.backend, line.reason, line.because)
    return table


def _outlook(explanation: Explanation, outlook: Outlook) -> list[str]:
    if outlook.to is None:
        kept = _KEPT.get(outlook.because or "", outlook.because)
        return [f"Whatever {explanation.backend} answers is kept: {kept}."]
    defects = f"scores below {outlook.threshold:g}, breaks the structure asked for, refuses, or is cut short"
    target = f"{outlook.to} ({outlook.to_tier})"
    sentences = [f"It escalates to {target} when the answer of {explanation.backend} {defects}."]
    if outlook.window_tokens is None:
        sentences.append("Streamed, the whole answer is held back and scored first.")
    elif outlook.window_tokens:
        sentences.append(
            f"Streamed, the first {outlook.window_tokens} tokens, or what comes within {outlook.window_ms} ms of the "
            "first, are held back and scored; after that nothing is switched."
        )
    else:
        sentences.append("Streamed, nothing is held back, so nothing escalates.")
    sentences.append(
        f"A request makes at most {outlook.max_attempts} calls and costs at most ${dollars(outlook.max_cost_usd)}."
    )
    return sentences


def _titled(out: Console, title: str, table: Table) -> None:
    out.print()
    out.print(title, style="bold")
    out.print(table)
