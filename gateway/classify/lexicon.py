"""Words and shapes that say something about the kind and the difficulty of a request.

Each group is one case-insensitive pattern over the instruction, which is short; the shapes also look at a bounded
part of the material. What a group is worth is not decided here but fitted (see `difficulty.py`).
"""

import re
from types import MappingProxyType


def _words(alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(alternatives.split())})(?!\w)".replace("_", r"\s+"), re.IGNORECASE)


GROUPS = MappingProxyType(
    {
        "proof": _words(
            "prove proof derive derivation show_that theorem lemma disprove counterexamples? closed_form irrational "
            "converges? convergence bijection induction invariant démontrer beweise?n? demuestra prouver"
        ),
        "design": _words(
            "design architect(?:ure)? implement build refactor migrat(?:e|ion) optimi[sz]e optimal optimum "
            "scal(?:e|able|ing) schema algorithm complexity concurren(?:t|cy) thread.?safe parser compiler scheduler "
            "lock.?free distributed shard(?:ing)? pipeline protocol"
        ),
        "debugging": _words(
            "debug deadlocks? race_condition races? leaks? crash(?:es|ed|ing)? segfaults? intermittent(?:ly)? flaky "
            "stale bottleneck root.?cause diagnos(?:e|is) where_would_you_look hangs? throughput latency replica "
            "slower mutex goroutines? undefined_behaviou?r"
        ),
        "judgement": _words(
            "should_(?:we|i|they|he|she) would_you recommend(?:ation)?s? trade.?offs? pros_and_cons compare comparison "
            "evaluate assess argue arguments? critique strateg(?:y|ies) justify defend persuade prioriti[sz]e "
            "rank(?:ed)? weigh feasible worth better_off plan roadmap negotiat\\w* risks? implications? consequences "
            "scenarios? "
            "hypothes[ie]s assumptions? sensitivity forecast budget allocat(?:e|ion)"
        ),
        "reconciling": _words(
            "reconcile contradict\\w* conflict(?:s|ing)? inconsisten\\w* discrepanc\\w* disagree\\w* mismatch\\w* "
            "overlap\\w* consolidate merge dedup\\w* cross.?check supersede\\w* precedence prevail\\w* valid applies "
            "apply entitled owed eligible liable liability comply compliance breach"
        ),
        "reasoning": _words(
            "why how_come what_explains how(?:'s|_is|_can|_could|_would)_(?:that|this|it|we|you|i) what_would "
            "what_happens how_likely what's_wrong who's_(?:right|wrong) is_(?:it|that|this)_(?:legal|allowed|possible)"
        ),
        "conditions": _words(
            "if unless when(?:ever)? whether assuming given_that suppose provided exceptions? except otherwise even_if "
            "instead without while although however but yet because therefore since so_that in_case"
        ),
        "constraints": _words(
            "must(?:n't|_not)? may_not can't cannot at_least at_most no_more_than no_fewer exactly never always only "
            "each every all both any none neither nobody no_two per between within respectively subject_to "
            "constraints? requirements?"
        ),
        "steps": _words(
            "first second third then next finally after_that afterwards step.by.step steps? phases? stages? also plus "
            "as_well_as and_then in_order followed_by"
        ),
        "brevity": _words(
            "just quick(?:ly)? one_(?:line|word|sentence) in_(?:one|a|two|three|\\d)_(?:words?|lines?|sentences?) "
            "short(?:er)? brief(?:ly)? simpl[ey] please pls thanks thank_you hi hello hey yes_or_no true_or_false y/n "
            "nothing_else no_explanation word_only single_word"
        ),
        "simple_asks": _words(
            "fix(?:_the)?_(?:grammar|typos?|spelling|punctuation) spell(?:ing|ed)? proofread capitali[sz]e uppercase "
            "lower\\s?case title_case translate rewrite rephrase reword reformat format sort alphabeti\\w* extract "
            "pull_out find give_me get_me list name define definition meaning mean stand_for synonym antonym "
            "another_word convert round count how_(?:many|much|long|old) what(?:'s|_is|_are|_was|_does|_do) which who "
            "where is_(?:this|it|the) do_(?:you|i) can_(?:i|you|we) classify label categori[sz]e sentiment positive "
            "negative neutral spam tone subject_line greeting caption tagline title headline bullets? plural opposite"
        ),
        "long_output": _words(
            "essay report memo chapter paper proposal white\\s?paper speech story sonnet villanelle sestina poem scene "
            "dialogue eulogy op-?ed \\d{3,}_words \\d+_pages? (?:two|three|four|five)_(?:pages?|paragraphs|minutes) "
            "detailed in_detail thorough\\w* comprehensive complete full in.depth table_with matrix playbook guide "
            "curriculum syllabus agenda script letter appeal"
        ),
        "legal": _words(
            "clauses? contracts? contractual statut\\w* gdpr court warrant\\w* lease tenant landlord insur\\w* "
            "claim(?:s|ed)? policy regulat\\w* audit\\w* shareholders? vat tax pension entitle\\w* refund terms § "
            "art\\. article_\\d+ notice_period jurisdiction"
        ),
        "medical": _words(
            "mg ml dose dosage patients? symptoms? blood glucose infusion allerg\\w* prescri\\w* therapy surgery "
            "clinical trial warfarin insulin"
        ),
        "finance": _words(
            "npv irr ebitda margin churn cohort revenue pric(?:e|es|ing) elasticity hedg\\w* bond yield equity "
            "cash\\s?flow depreciat\\w* interest_rate inflation discount(?:ed)?_rate break-?even runway valuation "
            "portfolio"
        ),
        "statistics": _words(
            "probability expected expectation variance distribution bayes\\w* posterior estimator unbiased "
            "confidence_interval p-?value significan\\w* regression correlat\\w* causal\\w* confound\\w* random "
            "sample_size a/b_test simpson markov poisson"
        ),
    }
)

MATHS = re.compile(
    r"[∫∑∏√∂∞≤≥≠∈∀∃→⇒ℝℕℤεδλμσ²³]|\\(?:frac|int|sum|sqrt|lim|begin)|\^\{?\w|\b[a-z]_\{?[a-z0-9]|\bmod\b|\b[fg]\(x\)"
)
SUM = re.compile(
    r"^\W*(?:what(?:'s| is)|how much is|calculate|compute|work out)?\s*[\d.,]+\s*"
    r"(?:[-+*/x×÷%]|plus|minus|times|divided by|percent of|% of)\s*[\d.,]+[\s=?.]*$",
    re.IGNORECASE,
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
WORD = re.compile(r"[^\W\d_]+(?:'[a-z]+)?")
CODE = re.compile(
    r"```|^\s*(?:def|class|func|fn|public|private|static|import|from|#include|SELECT|CREATE|const|let|var|async|return)\b"
    r"|[;{}]\s*$|=>|==|!=|\(\)\s*[:{]|</?\w+>|Traceback|Exception|\bstd::",
    re.MULTILINE,
)
LISTED = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.)]|[a-z]\))\s+", re.MULTILINE)
ONLY = re.compile(
    r"\b(?:only|nothing else|just the|no (?:words|comments?|explanations?|prose)|the value)\b", re.IGNORECASE
)
CLAUSE = re.compile(r"[,;:—–]|\band\b|\bor\b", re.IGNORECASE)
SENTENCE = re.compile(r"[.!?]+(?:\s|$)|\n")
