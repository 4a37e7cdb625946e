"""Words and phrases that say something about the kind and the difficulty of a request.

They are looked up, not searched: a pass over the instruction's words costs the same however long these lists are.
What a group is worth for difficulty is not decided here but fitted (see `difficulty.py`).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType

TOKEN = re.compile(r"[^\W_]+(?:'[a-z]+)?")
NUMBER = "#"
"""Stands for any number in a phrase."""
_DIGIT = re.compile(r"[0-9\x80-\U0010ffff]")
"""A digit, or what may be one without being called so: superscripts are."""
_HOUSE_RULES = 64
"""How many different house rules are remembered."""

DIFFICULTY = MappingProxyType(
    {
        "proof": (
            "prove, proves, proved, proof, proofs, derive, derivation, deriving, show that, theorem, lemma, "
            "disprove, counterexample, counterexamples, closed form, irrational, converge, converges, "
            "convergence, bijection, induction, invariant, démontrer, beweis, beweise, beweisen, demuestra, "
            "prouver, for every n, for all n"
        ),
        "design": (
            "design, designing, architect, architecture, implement, implementation, build, refactor, migrate, "
            "migration, optimise, optimize, optimal, optimum, scale, scalable, scaling, schema, algorithm, "
            "complexity, concurrent, concurrency, thread safe, parser, compiler, scheduler, lock free, "
            "distributed, shard, sharding, pipeline, protocol, data structure, data structures"
        ),
        "debugging": (
            "debug, deadlock, deadlocks, race, races, race condition, leak, leaks, crash, crashes, crashed, "
            "crashing, segfault, segfaults, intermittent, intermittently, flaky, stale, bottleneck, root cause, "
            "diagnose, diagnosis, where would you look, hang, hangs, throughput, latency, replica, slower, mutex, "
            "goroutine, goroutines, undefined behaviour, undefined behavior"
        ),
        "judgement": (
            "should we, should i, should they, should he, should she, would you, recommend, recommends, "
            "recommendation, recommendations, trade off, trade offs, tradeoff, tradeoffs, pros and cons, compare, "
            "comparing, comparison, evaluate, evaluation, assess, assessment, argue, argument, arguments, "
            "critique, strategy, strategies, justify, defend, persuade, prioritise, prioritize, rank, ranked, "
            "weigh, feasible, worth, better off, plan, roadmap, negotiate, negotiation, negotiating, risk, risks, "
            "implication, implications, consequence, consequences, scenario, scenarios, hypothesis, hypotheses, "
            "assumption, assumptions, sensitivity, forecast, budget, allocate, allocation"
        ),
        "reconciling": (
            "reconcile, reconciliation, contradict, contradicts, contradiction, contradictions, contradictory, "
            "conflict, conflicts, conflicting, inconsistent, inconsistency, inconsistencies, discrepancy, "
            "discrepancies, disagree, disagrees, disagreement, mismatch, mismatches, overlap, overlaps, "
            "overlapping, consolidate, merge, deduplicate, cross check, supersede, supersedes, superseded, "
            "precedence, prevail, prevails, valid, applies, apply, entitled, owed, eligible, liable, liability, "
            "comply, compliance, breach"
        ),
        "reasoning": (
            "why, how come, what explains, how's that, how is that, how can that, how could that, how would you, "
            "how could we, how can we, how would we, what would, what happens, how likely, what's wrong, who's "
            "right, who's wrong, is it legal, is that legal, is this legal, is it allowed, is that allowed, is it "
            "possible, is this possible, is that possible"
        ),
        "conditions": (
            "if, unless, when, whenever, whether, assuming, given that, suppose, provided, exception, exceptions, "
            "except, otherwise, even if, instead, without, while, although, however, but, yet, because, "
            "therefore, since, so that, in case"
        ),
        "constraints": (
            "must, mustn't, may not, can't, cannot, at least, at most, no more than, no fewer, exactly, never, "
            "always, only, each, every, all, both, any, none, neither, nobody, no two, per, between, within, "
            "respectively, subject to, constraint, constraints, requirement, requirements"
        ),
        "steps": (
            "first, second, third, then, next, finally, after that, afterwards, step by step, step, steps, phase, "
            "phases, stage, stages, also, plus, as well as, and then, in order, followed by"
        ),
        "brevity": (
            "just, quick, quickly, one line, one word, one sentence, in one word, in one sentence, in a word, in "
            "a sentence, in two words, in two lines, in # words, in # sentences, in # lines, short, shorter, "
            "brief, briefly, simple, simply, please, pls, thanks, thank you, hi, hello, hey, yes or no, true or "
            "false, nothing else, no explanation, word only, single word"
        ),
        "simple_asks": (
            "fix grammar, fix the grammar, fix the typo, fix the typos, fix typos, fix spelling, fix the "
            "spelling, fix the punctuation, spell, spelled, spelling, proofread, capitalise, capitalize, "
            "uppercase, upper case, lowercase, lower case, title case, translate, rewrite, rephrase, reword, "
            "reformat, format, sort, alphabetical, alphabetically, alphabetise, alphabetize, extract, pull out, "
            "find, give me, get me, list, name, define, definition, meaning, mean, stand for, synonym, antonym, "
            "another word, convert, round, count, how many, how much, how long, how old, what's, what is, what "
            "are, what was, what does, what do, which, who, where, is this, is it, is the, do you, do i, can i, "
            "can you, can we, classify, label, categorise, categorize, sentiment, positive, negative, neutral, "
            "spam, tone, subject line, greeting, caption, tagline, title, headline, bullet, bullets, plural, "
            "opposite"
        ),
        "long_output": (
            "essay, report, memo, chapter, paper, proposal, whitepaper, white paper, speech, story, sonnet, "
            "villanelle, sestina, poem, scene, dialogue, eulogy, op ed, # words, # pages, # page, two pages, "
            "three pages, four pages, five pages, two paragraphs, three paragraphs, four paragraphs, five "
            "paragraphs, # minutes, detailed, in detail, thorough, thoroughly, comprehensive, complete, full, in "
            "depth, table with, matrix, playbook, guide, curriculum, syllabus, agenda, script, letter, appeal"
        ),
        "legal": (
            "clause, clauses, contract, contracts, contractual, statute, statutory, gdpr, court, warrant, "
            "warranty, lease, tenant, landlord, insurer, insured, insurance, claim, claims, claimed, policy, "
            "regulation, regulations, regulatory, audit, audited, auditor, shareholder, shareholders, vat, tax, "
            "pension, entitlement, refund, terms, art, article #, notice period, jurisdiction"
        ),
        "medical": (
            "mg, ml, dose, dosage, patient, patients, symptom, symptoms, blood, glucose, infusion, allergy, "
            "allergic, allergies, prescribe, prescribed, prescription, therapy, surgery, clinical, trial, "
            "warfarin, insulin"
        ),
        "finance": (
            "npv, irr, ebitda, margin, margins, churn, cohort, revenue, price, prices, pricing, elasticity, "
            "hedge, hedging, bond, yield, equity, cash flow, cashflow, depreciation, interest rate, inflation, "
            "discount rate, break even, runway, valuation, portfolio"
        ),
        "statistics": (
            "probability, expected, expectation, variance, distribution, bayes, bayesian, posterior, estimator, "
            "unbiased, confidence interval, p value, significant, significance, regression, correlation, "
            "correlated, causal, causality, confound, confounder, confounding, random, sample size, b test, "
            "simpson, markov, poisson"
        ),
    }
)
"""Groups whose counts are measures of difficulty."""

TASKS = MappingProxyType(
    {
        "task:summary": (
            "summarise, summarize, summary, tl dr, tldr, zusammenfassung, zusammenfassen, résumer, résumé, resumen"
        ),
        "task:translation": (
            "translate, translated, translation, übersetze, übersetzen, übersetzung, traduire, traduis, "
            "traduction, traducir, traduce, traducción, in english, in french, in german, in spanish, in italian, "
            "in portuguese, in dutch, in polish, in japanese, in chinese, into english, into french, into german, "
            "into spanish, into italian, into portuguese, into dutch, into polish, into japanese, into chinese, "
            "to english, to french, to german, to spanish, to italian"
        ),
        "task:classification": (
            "classify, categorise, categorize, sentiment, spam, label this, label it, label the, urgent or not, "
            "yes or no, positive or negative, positive negative"
        ),
        "task:extraction": (
            "extract, pull out, find the, get me the, what's the order, what's the invoice, what's the phone, "
            "what's the tracking, what's the email, what's the total, what's the name, what's the date, what's "
            "the number, what's the address, what is the order, what is the invoice, what is the phone, what is "
            "the tracking, what is the email, what is the total, what is the name, what is the date, what is the "
            "number, what is the address"
        ),
        "task:formatting": (
            "reformat, format this, format it, format as, format the, capitalise, capitalize, title case, "
            "uppercase, upper case, lowercase, lower case, sort this, sort these, sort the, alphabetically, "
            "alphabetical, proofread, bullet point, bullet points, fix the grammar, fix grammar, fix my grammar, "
            "fix the typos, fix typos, fix the spelling, fix spelling, fix the punctuation"
        ),
        "task:maths": (
            "solve, equation, integral, derivative, probability, prove that, how much is, percent of, square "
            "root, multiply, divided by, minus, plus #"
        ),
        "task:code": (
            "python, javascript, typescript, java, rust, golang, sql, regex, bash, html, css, function, compile, "
            "compiles, compiler, stack trace, traceback, unit test, unit tests, git, docker, kubernetes, api "
            "endpoint"
        ),
        "task:writing": (
            "write, draft, compose, essay, poem, story, blog, letter, email, speech, tagline, caption, headline, "
            "slogan, rewrite, rephrase, reword, subject line"
        ),
        "task:analysis": (
            "analyse, analyze, analysis, compare, evaluate, assess, trade off, trade offs, pros and cons, root "
            "cause, forecast, recommend, strategy"
        ),
    }
)
"""Words that mark a kind of work; of several kinds the first in this order counts."""

TASK_PREFIX = "task:"

QUESTION_WORDS = frozenset(
    "what who when where which how is are do does can could what's who's where's".split()  # noqa: SIM905
)
GREETINGS = frozenset(["hi", "hello", "hey", "good", "thanks", "thank", "bye"])

MATHS = re.compile(
    r"[∫∑∏√∂∞≤≥≠∈∀∃→⇒ℝℕℤεδλμσ²³]|\\(?:frac|int|sum|sqrt|lim|begin)|\^\{?\w|\b[a-z]_\{?[a-z0-9]|\bmod\b|\b[fg]\(x\)"
)
SUM = re.compile(
    r"^\W*(?:what(?:'s| is)|how much is|calculate|compute|work out)?\s*[\d.,]+\s*"
    r"(?:[-+*/x×÷%]|plus|minus|times|divided by|percent of|% of)\s*[\d.,]+[\s=?.]*$",
    re.IGNORECASE,
)
CODE = re.compile(
    r"```|^[ \t]*(?:def|class|func|fn|public|private|static|import|from|#include|SELECT|CREATE|const|let|var|async)\b"
    r"|[;{}][ \t]*$|=>|==|!=|\(\)[ \t]*[:{]|Traceback|Exception|std::",
    re.MULTILINE,
)
LISTED = re.compile(r"^[ \t]*(?:[-*•]|\(?\d{1,2}[.)]|[a-z]\))[ \t]+", re.MULTILINE)
CLAUSE_MARKS = ",;:—–"
SENTENCE = re.compile(r"[.!?](?:\s|$)|\n")


def may_hold_maths(text: str) -> bool:
    """Whether looking for `MATHS` is worth the while."""
    return not text.isascii() or "\\" in text or "^" in text or "_" in text or "(x)" in text or "mod" in text


def may_hold_code(text: str) -> bool:
    """Whether looking for `CODE` is worth the while."""
    return "\n" in text or "`" in text or "=" in text or "(" in text or "{" in text or "::" in text


class Lexicon:
    """Groups of phrases, indexed by their first word."""

    def __init__(self, groups: Mapping[str, str]) -> None:
        """`groups` maps names to phrases set apart by commas."""
        # The house rules of a tool stand above each of its requests.
        self.brevity = lru_cache(maxsize=_HOUSE_RULES)(self._brevity)
        """How often a text asks for a short answer; what it was asked of lately it remembers."""
        self._words: dict[str, list[str]] = {}
        self._phrases: dict[str, dict[str, list[tuple[list[str], str]]]] = {}
        for name, phrases in groups.items():
            for phrase in phrases.split(","):
                first, *rest = phrase.split()
                if rest:
                    self._phrases.setdefault(first, {}).setdefault(rest[0], []).append((rest, name))
                else:
                    self._words.setdefault(first, []).append(name)

    def count(self, tokens: list[str]) -> dict[str, int]:
        """How often each group's phrases occur; a group that does not occur is absent."""
        names = [name for token in tokens if token in self._words for name in self._words[token]]
        for position, (token, following) in enumerate(pairwise(tokens), 1):
            if token in self._phrases and following in self._phrases[token]:
                for rest, name in self._phrases[token][following]:
                    if tokens[position : position + len(rest)] == rest:
                        names.append(name)
        return {name: names.count(name) for name in names}

    def _brevity(self, text: str) -> int:
        tokens = tokenise(text)
        return self.count(tokens).get("brevity", 0) + tokens.count("only")


def tokenise(text: str) -> list[str]:
    """Words in lower case, every number as `NUMBER`; an apostrophe is one however it is set."""
    plain = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    tokens: list[str] = TOKEN.findall(plain)
    if _DIGIT.search(plain) is None:
        return tokens
    return [NUMBER if token[0].isdigit() else token for token in tokens]
