"""Which body fields are taken, which are dropped by name, and which are dangerous enough to refuse."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.errors import Code, RequestError

# They redirect the call or its credentials (CVE-2024-6587).
_REDIRECTING = (
    "api_base api_key base_url custom_llm_provider extra_body extra_headers extra_query fallbacks headers "
    "organization proxy"
)
# They run templates, grammars or tensors inside an engine, or make it compute without bound
# (CVE-2025-62426, CVE-2025-62164, CVE-2026-21869).
_ENGINE_INTERNAL = (
    "add_generation_prompt allowed_token_ids bad_words cache_prompt cache_salt chat_template "
    "chat_template_kwargs continue_final_message grammar id_slot kv_transfer_params logits_processors "
    "lora_request mm_processor_kwargs n_discard priority prompt_embeds prompt_logprobs prompt_token_ids "
    "regex slot_id structured_outputs vllm_xargs"
)
UNSAFE_FIELDS = frozenset(f"{_REDIRECTING} {_ENGINE_INTERNAL}".split())
UNSAFE_PREFIXES = ("guided_",)

_MOST_TOLD = 20
_LONGEST_TOLD = 64
_ODD = re.compile(r"[^A-Za-z0-9_.\[\]-]")

# Their meaning would be lost in silence: the caller must say it the current way.
REPLACED_FIELDS = {"functions": "tools", "function_call": "tool_choice"}.items()


def refuse_unsafe(body: Mapping[str, Any]) -> None:
    """Raise RequestError for a field that must not come from a caller."""
    for name in body:
        if name in UNSAFE_FIELDS or name.startswith(UNSAFE_PREFIXES):
            shown = plain_name(name)
            raise RequestError(f"{shown} is not accepted from callers; remove it", code=Code.UNSAFE_FIELD, param=shown)
    for old, new in REPLACED_FIELDS:
        if old in body:
            raise RequestError(f"{old} is no longer part of this API; use {new}", param=old)


def unknown_fields(body: Mapping[str, Any], known: frozenset[str], prefix: str = "") -> Iterable[str]:
    """The fields of `body` that have no place here, with their path."""
    return (prefix + name for name in body.keys() - known)


def told(names: Iterable[str]) -> tuple[str, ...]:
    """Names of dropped fields as the caller is told them, in a header too: each once, in order, plain and few."""
    plain = sorted({plain_name(name) for name in names})
    more = len(plain) - _MOST_TOLD
    return (*plain[:_MOST_TOLD], f"and {more} more") if more > 0 else tuple(plain)


def plain_name(name: str) -> str:
    """A name that a caller made up, so that it can stand in a header or a message: short, with nothing odd in it."""
    return _ODD.sub("?", name[:_LONGEST_TOLD])
