"""What can be measured of a conversation, as named numbers of similar size."""

import math
from collections.abc import Mapping, Sequence

from gateway.classify import lexicon
from gateway.classify.instruction import instruction, last_question
from gateway.messages import Message

_SCANNED = 2_000
_SYSTEM_SCANNED = 400
_MOST = 3


class Reading:
    """One conversation, read once: what the user said last, what of it is the instruction, and the house rules.

    `tokens` are the words of the instruction, `groups` what the lexicon found among them.
    """

    def __init__(self, messages: Sequence[Message], words: lexicon.Lexicon) -> None:
        self.text = next((message.text() for message in reversed(messages) if message.role == "user"), "")
        self.turns = sum(message.role == "user" for message in messages)
        self.instruction = instruction(self.text)
        self.question = last_question(self.instruction)
        self.tokens = lexicon.tokenise(self.instruction)
        self.groups = words.count(self.tokens)
        self.head = self.text[:_SCANNED]
        system = next((message.text() for message in messages if message.role in ("system", "developer")), "")
        self.system_brevity = words.brevity(system[:_SYSTEM_SCANNED])
        self.has_system = bool(system)
        self.maths = len(lexicon.MATHS.findall(self.head)) if lexicon.may_hold_maths(self.head) else 0
        self.code = len(lexicon.CODE.findall(self.head)) if lexicon.may_hold_code(self.head) else 0


def measure(reading: Reading) -> dict[str, float]:
    """Every measure that is not 0, by name."""
    found = _sizes(reading)
    found.update(_shapes(reading))
    found.update(_groups(reading.groups))
    return {name: value for name, value in found.items() if value}


def _sizes(reading: Reading) -> dict[str, float]:
    tokens = reading.tokens
    words = len(tokens) or 1
    lengths = list(map(len, tokens))
    clauses = _clauses(reading.instruction, tokens)
    return {
        "length": math.log1p(len(reading.text)),
        "instruction_words": math.log1p(words),
        "few_words": float(words <= 8),
        "very_few_words": float(words <= 4),
        "material": math.log1p(max(0, len(reading.text) - len(reading.instruction))),
        "long_words": len([length for length in lengths if length >= 9]) / words,
        "word_length": sum(lengths) / words,
        "clauses": math.log1p(clauses),
        "clause_rate": clauses / words,
        "sentences": math.log1p(len(lexicon.SENTENCE.findall(reading.instruction))),
        "multi_turn": float(reading.turns > 1),
        "question_words": math.log1p(len(reading.question.split())),
        "question_clauses": math.log1p(_clauses(reading.question, reading.question.lower().split())),
    }


def _shapes(reading: Reading) -> dict[str, float]:
    return {
        "questions": min(reading.instruction.count("?"), _MOST),
        "numbers_asked": math.log1p(reading.tokens.count(lexicon.NUMBER)),
        "digits": math.log1p(sum(map(reading.head.count, "0123456789"))),
        "percentages": min(reading.head.count("%"), _MOST),
        "maths": min(reading.maths, _MOST),
        "plain_sum": float(bool(lexicon.SUM.match(reading.text[:120]))),
        "code": float(reading.code >= _MOST),
        "list_items": math.log1p(len(lexicon.LISTED.findall(reading.head)) if "\n" in reading.head else 0),
        "system": float(reading.has_system),
        "system_brevity": min(reading.system_brevity, _MOST),
    }


def _groups(counts: Mapping[str, int]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, count in counts.items():
        if name in lexicon.DIFFICULTY:
            found[name] = min(count, _MOST)
            found[f"any_{name}"] = 1.0
    return found


def _clauses(text: str, tokens: Sequence[str]) -> int:
    return sum(map(text.count, lexicon.CLAUSE_MARKS)) + tokens.count("and") + tokens.count("or")
