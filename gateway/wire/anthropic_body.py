"""The body of a call of Anthropic's Messages API."""

from gateway.messages import ChatRequest, JsonObject, JsonSchema, NamedToolChoice, ResponseFormat
from gateway.wire.anthropic_schema import narrowed
from gateway.wire.anthropic_turns import conversation, presentable

_LARGEST_TEMPERATURE = 1.0


def message_body(request: ChatRequest, model: str, max_tokens: int, *, stream: bool) -> JsonObject:
    """The body for one attempt. Raises ValueError where something has no words in this API."""
    body = prompt_body(request, model)
    sampling = request.sampling
    body["max_tokens"] = max_tokens
    if sampling.temperature is not None:
        body["temperature"] = min(_LARGEST_TEMPERATURE, sampling.temperature)
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.top_k is not None:
        body["top_k"] = sampling.top_k
    if sampling.stop:
        body["stop_sequences"] = sampling.stop
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    if stream:
        body["stream"] = True
    return body


def prompt_body(request: ChatRequest, model: str) -> JsonObject:
    """What a prompt is made of: the body of a call that only counts its tokens."""
    said = request.conversation
    talk = conversation(request) if said is None else said
    body: JsonObject = {"model": model, "messages": talk.messages if said is None else presentable(talk.messages)}
    for name, value in (
        ("system", talk.system),
        ("tools", talk.tools),
        ("tool_choice", _tool_choice(request)),
        ("thinking", talk.thinking),
        ("output_config", _output_config(talk.effort, request.response_format)),
        ("cache_control", talk.cache_control),
    ):
        if value:
            body[name] = value
    return body


def _tool_choice(request: ChatRequest) -> JsonObject | None:
    choice = request.tool_choice
    one_at_a_time = {"disable_parallel_tool_use": True} if request.parallel_tool_calls is False else {}
    if not request.tools or choice == "none":
        return {"type": "none"} if request.tools else None
    if isinstance(choice, NamedToolChoice):
        return {"type": "tool", "name": choice.function.name, **one_at_a_time}
    if choice == "required":
        return {"type": "any", **one_at_a_time}
    return {"type": "auto", **one_at_a_time} if choice == "auto" or one_at_a_time else None


def _output_config(effort: str | None, wanted: ResponseFormat | None) -> JsonObject:
    config: JsonObject = {} if effort is None else {"effort": effort}
    match wanted:
        case ResponseFormat(json_schema=JsonSchema(schema=dict() as schema)):
            config["format"] = {"type": "json_schema", "schema": narrowed(schema)}
    return config
