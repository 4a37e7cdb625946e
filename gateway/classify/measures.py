"""What can be measured of a conversation, as named numbers of similar size."""

import math
from collections.abc import Sequence

from gateway.classify import lexicon
from gateway.classify.instruction import instruction, last_question
from gateway.messages import Message

_SCANNED = 4_000
_SYSTEM_SCANNED = 600
_MOST = 3


class Reading:
    """One conversation, read once: the last thing the user said, what of it is the instruction, the house rules."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.text = next((message.text() for message in reversed(messages) if message.role == "user"), "")
        self.turns = sum(message.role == "user" for message in messages)
        self.instruction = instruction(self.text)
        self.question = last_question(self.instruction)
        system = next((message.text() for message in messages if message.role in ("system", "developer")), "")
        self.system = system[:_SYSTEM_SCANNED]
        self.words = [word.lower() for word in lexicon.WORD.findall(self.instruction)]
        self.head = self.text[:_SCANNED]


def measure(reading: Reading) -> dict[str, float]:
    """Every measure by name; a measure that found nothing is 0."""
    found = _sizes(reading) | _shapes(reading) | _system(reading)
    for name, pattern in lexicon.GROUPS.items():
        count = len(pattern.findall(reading.instruction))
        found[name] = min(count, _MOST)
        found[f"any_{name}"] = float(count > 0)
    return found


def _sizes(reading: Reading) -> dict[str, float]:
    words = len(reading.words) or 1
    clauses = len(lexicon.CLAUSE.findall(reading.instruction))
    return {
        "length": math.log1p(len(reading.text)),
        "instruction_words": math.log1p(words),
        "few_words": float(words <= 8),
        "very_few_words": float(words <= 4),
        "material": math.log1p(max(0, len(reading.text) - len(reading.instruction))),
        "long_words": sum(len(word) >= 9 for word in reading.words) / words,
        "word_length": sum(map(len, reading.words)) / words,
        "clauses": math.log1p(clauses),
        "clause_rate": clauses / words,
        "sentences": math.log1p(len(lexicon.SENTENCE.findall(reading.instruction))),
        "multi_turn": float(reading.turns > 1),
        "question_words": math.log1p(len(reading.question.split())),
        "question_clauses": math.log1p(len(lexicon.CLAUSE.findall(reading.question))),
    }


def _shapes(reading: Reading) -> dict[str, float]:
    return {
        "questions": min(reading.instruction.count("?"), _MOST),
        "numbers_asked": math.log1p(len(lexicon.NUMBER.findall(reading.instruction))),
        "numbers": math.log1p(len(lexicon.NUMBER.findall(reading.head))),
        "percentages": min(reading.head.count("%"), _MOST),
        "maths": min(len(lexicon.MATHS.findall(reading.head)), _MOST),
        "plain_sum": float(bool(lexicon.SUM.match(reading.text[:120]))),
        "code": float(len(lexicon.CODE.findall(reading.head)) >= _MOST),
        "list_items": math.log1p(len(lexicon.LISTED.findall(reading.head))),
    }


def _system(reading: Reading) -> dict[str, float]:
    """House rules that ask for a value and nothing else make for small answers; the rest of them says little."""
    if not reading.system:
        return {}
    brevity = lexicon.GROUPS["brevity"].findall(reading.system) + lexicon.ONLY.findall(reading.system)
    return {"system": 1.0, "system_brevity": min(len(brevity), _MOST)}
