"""What is asked, apart from what it is asked about.

"What's the order number?" above a pasted e-mail is as easy as without it. Pasted material stands in code fences,
in long quotations, or in the paragraphs between the first and the last. Only a bounded part of a long text is
looked at, so that the time taken does not grow with it.
"""

import re

_LONG = 12_000
_HEAD, _TAIL = 4_000, 2_000
_ONE_PARAGRAPH = 700
_FIRST, _LAST = 500, 400

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_BREAK = re.compile(r"\n[ \t]*\n")
_QUOTATION = re.compile(r"[\"“„«]([^\"“”„»]{25,})[\"”“»]|(?<!\w)'([^'\n]{25,})'(?!\w)")


def instruction(text: str) -> str:
    """The part of `text` that says what to do, at most about 1,200 characters."""
    if len(text) > _LONG:
        text = f"{text[:_HEAD]}\n\n{text[-_TAIL:]}"
    body = _QUOTATION.sub(' "" ', _FENCE.sub("\n\n", text))
    paragraphs = [stripped for part in _BREAK.split(body) if (stripped := part.strip())]
    if not paragraphs:
        return text[:_FIRST]
    return _of_one(paragraphs[0]) if len(paragraphs) == 1 else _of_several(paragraphs[0], paragraphs[-1])


def _of_one(paragraph: str) -> str:
    """A long paragraph asks at its beginning or its end; in lines, in its first or its last."""
    if len(paragraph) <= _ONE_PARAGRAPH:
        return paragraph
    lines = paragraph.split("\n")
    if len(lines) > 3:
        return f"{lines[0][:_LAST]}\n{lines[-1][:_LAST]}"
    return f"{paragraph[:_FIRST]}\n{paragraph[-_LAST // 2 :]}"


def _of_several(first: str, last: str) -> str:
    if len(last) <= _LAST:
        return f"{first[:_FIRST]}\n{last}"
    # A long last paragraph is material, unless it ends in a question.
    return f"{first[:_FIRST]}\n{last[-_LAST // 2 :]}" if "?" in last[-_LAST // 2 :] else first[:_FIRST]
