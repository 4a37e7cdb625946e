"""From a `Call` to the body of one backend."""

import msgspec

from gateway.backends.profile import Profile
from gateway.blocks import Conversation
from gateway.messages import ChatRequest, JsonObject
from gateway.ports import Call
from gateway.wire.anthropic_messages import untold
from gateway.wire.openai_upstream import request_body


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
    talk = request.conversation
    return tuple(sorted(dropped if talk is None else (_their_name(each, talk) for each in dropped)))


def ignored_by_openai(request: ChatRequest, profile: Profile) -> tuple[str, ...]:
    """The same for backends of OpenAI's API, which has no words for all of Anthropic's."""
    dropped = ignored_fields(request, profile)
    return dropped if request.conversation is None else tuple(sorted({*dropped, *untold(request.conversation)}))


def _their_name(field: str, talk: Conversation) -> str:
    """What a caller of Anthropic's API called it; effort is said there, or follows from a budget of thought."""
    if field == "reasoning_effort":
        return "thinking" if talk.effort is None else "output_config.effort"
    return "stop_sequences" if field == "stop" else field
