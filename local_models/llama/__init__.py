"""Our llama.cpp server: one GGUF over HTTP, many sequences in one batch. `python -m local_models.llama --help`.

One request, from bytes to bytes:

1. `app` reads a bounded body; `wire` says what it may hold, `asks` checks it and makes a `jobs.Job` of it: the chat
   `template` and the vocabulary of `model` give tokens, `gbnf` writes the grammar of a JSON schema.
2. `engine` hands the job to the owner thread (`worker`) and keeps an inbox for what comes back.
3. The owner thread (`loop`) decodes batch after batch in `context`; `scheduler` decides what goes into each,
   `priority` who goes first, `seating` where, `shares` how much of a prompt, `prefixes` what of it need not be
   evaluated again. A call of llama.cpp for those whom nobody waits for may be ended by others (`preemption`).
   Long prompts leave the streams alone: `away` says which, `errands` and `aside` take them to a context of their own.
   `sequence` turns a row of logits into the next token (`sampling`, `constrained`, `grammar`), its log-probabilities
   (`logprobs`) and the text that may be sent (`textstream`).
4. `answers` shapes the events of the inbox as OpenAI's `objects`, whole or streamed; `connection` sends them. A closed
   connection cancels.
5. `metrics` shows what the owner thread published and what the HTTP side timed, under vLLM's names.

    asyncio thread:  app ── asks ── engine ── answers        text thread: long prompts, schemas
                                     │  ▲
                            commands ▼  │ events, once per call of llama.cpp
    owner thread:                   worker ── loop ── scheduler, sequence, context

A pooling engine (`--runner pooling`) takes the same way with `embed_app` ── `embedding` ── `engine` and `worker` ──
`embed_loop` ── `embed_context`; `pooling` says what a model may be run for, `service` is what both have in common.

JSON schemas: `schema` (with `keywords`, `pointers`, `pattern`, `bounds`) reads one into `nodes`, `ambiguity` refuses
what would leave too many readings open, `gbnf` writes the grammar; everything regular goes through `regular`.

Calls of tools: `tools` says how models are told of tools and how calls are written and read; `speaker` puts what was
read into OpenAI's objects.
"""
