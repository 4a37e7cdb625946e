"""Calls of tools: how models are told of tools, how they write calls, and how calls are read back.

One request, from its tools to its calls:

1. `offer` checks which tools may, or must, be called.
2. `toolbox` knows what the model's own chat template makes of tools. Where it knows none, `prompt` tells the model of
   them in a form that is written down there. `notation` is how calls are written; `hermes`, `llama3` and `mistral` are
   the families, and `families` tells by a template's own words which one it is.
3. `grammar` writes the grammar of calls. A forced answer is under it from its first token; a free one comes under it
   where `trigger`, which looks for what `markers` finds, sees a call begin.
4. `reader` reads the calls back out of the text, piece by piece.
"""
