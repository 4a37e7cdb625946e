"""From a `Call` to the body of one backend."""

from types import MappingProxyType

import msgspec

from gateway.backends.profile import Profile
from gateway.messages import ChatRequest, JsonObject
from gateway.ports import Call
from gateway.wire.anthropic_messages import untold
from gateway.wire.openai_upstream import request_body

# What a caller of Anthropic's API calls these.
_THEIR_NAMES = MappingProxyType({"stop": "stop_sequences", "reasoning_effort": "output_config.effort"})


def upstream_body(call: Call, model: str, profile: Profile, *, stream: bool) -> JsonObject:
    """The body of one attempt, shaped to the backend's taste."""
    body = request_body(call.request, model, stream=stream, top_logprobs=call.top_logprobs)
    if call.max_tokens is not None:
        body["max_tokens"] = call.max_tokens
    return profile.shape(body)


def ignored_fields(request: ChatRequest, profile: Profile) -> tuple[str, ...]:
    """What the caller set and the profile drops: said openly, because the answer may differ for it."""
    if not profile.drop:
        return ()
    asked = set(msgspec.to_builtins(request.sampling))
    if request.reasoning_effort is not None:
        asked.add("reasoning_effort")
    dropped = asked & profile.drop
    return tuple(
        sorted(dropped if request.conversation is None else (_THEIR_NAMES.get(each, each) for each in dropped))
    )


def ignored_by_openai(request: ChatRequest, profile: Profile) -> tuple[str, ...]:
    """The same for backends of OpenAI's API, which has no words for all of Anthropic's."""
    dropped = ignored_fields(request, profile)
    return dropped if request.conversation is None else tuple(sorted({*dropped, *untold(request.conversation)}))
