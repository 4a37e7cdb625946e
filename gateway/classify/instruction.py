"""What is asked, apart from what it is asked about.

"What's the order number?" above a pasted e-mail is as easy as without it. Pasted material stands in code fences,
in long quotations, in the paragraphs between the first and the last, or in the lines between them. Only a bounded
part of a long text is looked at, so that the time taken does not grow with it.
"""

import re

_LONG = 2_500
_HEAD, _TAIL = 1_500, 1_000
_PROSE = 700
_FIRST, _LAST = 500, 400
_LINES = 4

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_BREAK = re.compile(r"\n[ \t]*\n")
_QUOTATION = re.compile(r"[\"“„«]([^\"“”„«»]{25,})[\"”“»]|(?<!\w)'([^'\n]{25,})'(?!\w)")
_ENDS = re.compile(r"[.!?\n:;]")


def instruction(text: str) -> str:
    """The part of `text` that says what to do, at most about 1,000 characters."""
    if len(text) > _LONG:
        text = f"{text[:_HEAD]}\n\n{text[-_TAIL:]}"
    body = _FENCE.sub("\n\n", text) if "```" in text else text
    if '"' in body or "'" in body or not body.isascii():
        body = _QUOTATION.sub(' "" ', body)
    parts = _BREAK.split(body) if "\n" in body else (body,)
    paragraphs = [stripped for part in parts if (stripped := part.strip())]
    if not paragraphs:
        return text[:_FIRST]
    return _of_one(paragraphs[0]) if len(paragraphs) == 1 else _of_several(paragraphs[0], paragraphs[-1])


def last_question(instruction_text: str) -> str:
    """The last question of an instruction, or its first sentence where it asks none: what it comes down to."""
    end = instruction_text.rfind("?")
    if end < 0:
        return _ENDS.split(instruction_text.strip(), maxsplit=1)[0]
    return _ENDS.split(instruction_text[max(0, end - 300) : end])[-1].strip()


def _of_one(paragraph: str) -> str:
    """Of many lines the first and the last ask, of long prose its beginning and its end."""
    lines = [line for line in paragraph.split("\n") if line.strip()]
    if len(lines) >= _LINES:
        return f"{lines[0][:_LAST]}\n{lines[-1][:_LAST]}"
    if len(paragraph) <= _PROSE:
        return paragraph
    return f"{paragraph[:_FIRST]}\n{paragraph[-_LAST // 2 :]}"


def _of_several(first: str, last: str) -> str:
    opening = _of_one(first)[:_FIRST]
    if len(last) <= _LAST:
        return f"{opening}\n{_of_one(last)}"
    # A long last paragraph is material, unless it ends in a question.
    return f"{opening}\n{last[-_LAST // 2 :]}" if "?" in last[-_LAST // 2 :] else opening
