"""From a `Call` to the body of one backend."""

import msgspec
from msgspec import Struct

from gateway.backends.profile import Profile
from gateway.blocks import Conversation
from gateway.messages import ChatRequest, JsonObject
from gateway.ports import Call
from gateway.types import BackendSpec
from gateway.wire.anthropic_messages import untold
from gateway.wire.openai_text_upstream import TextApi, text_body
from gateway.wire.openai_upstream import request_body
from gateway.wire.upstream import UpstreamApi

_CHATS_OWN = frozenset(
    {
        "chat_template_kwargs",
        "max_completion_tokens",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "tool_choice",
        "tools",
        "top_logprobs",
        "verbosity",
    }
)


def upstream_body(call: Call, model: str, profile: Profile, *, stream: bool) -> JsonObject:
    """The body of one attempt, shaped to the backend's taste."""
    body = request_body(call.request, model, stream=stream, top_logprobs=call.top_logprobs)
    return _shaped(call, body, profile)


class Sent(Struct, frozen=True):
    """What one attempt sends: below which path, what, and what is spoken there, if not the API's chat."""

    path: str
    body: JsonObject
    api: UpstreamApi | None = None


def sent(call: Call, spec: BackendSpec, model: str, profile: Profile, *, stream: bool) -> Sent:
    """The body of one attempt and its route: a raw prompt goes as it is where the backend goes on with texts."""
    if call.request.via(spec) != "completions":
        return Sent("/chat/completions", upstream_body(call, model, profile, stream=stream))
    body = text_body(call.request, model, stream=stream, logprobs=call.top_logprobs)
    return Sent("/completions", _shaped(call, body, _for_texts(profile)), TextApi())


def _shaped(call: Call, body: JsonObject, profile: Profile) -> JsonObject:
    """With what the attempt adds, in the form that the backend takes."""
    if call.max_tokens is not None:
        body["max_tokens"] = call.max_tokens
    profile.prioritise(body, call.priority)
    return profile.shape(body)


def _for_texts(profile: Profile) -> Profile:
    """What of a profile holds for raw prompts: they have no turns, no thought, and `max_tokens` by its old name."""
    defaults = {name: value for name, value in profile.defaults.items() if name not in _CHATS_OWN}
    return Profile(rename={}, drop=profile.drop, defaults=defaults, prioritised=profile.prioritised)


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
