"""From a `Call` to the body of one backend."""

import msgspec

from gateway.backends.profile import Profile
from gateway.messages import ChatRequest, JsonObject
from gateway.ports import Call
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
    return tuple(sorted(asked & profile.drop))
