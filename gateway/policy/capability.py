"""What a request needs of a backend, read off the request itself."""

from gateway.messages import ChatRequest, images
from gateway.types import Capability


def needs(request: ChatRequest) -> frozenset[Capability]:
    """Everything without which the answer would be wrong rather than merely weaker."""
    found = _of_tools(request)
    if request.response_format is not None and request.response_format.type != "text":
        found.add(Capability(request.response_format.type))
    if request.logprobs:
        found.add(Capability.LOGPROBS)
    if request.sampling.n > 1:
        found.add(Capability.MULTIPLE_CHOICES)
    for image in images(request.messages):
        found.add(Capability.IMAGES)
        if not image.url.startswith("data:"):
            # Whoever serves it will fetch the address: never an engine inside our own network.
            found.add(Capability.REMOTE_IMAGES)
    return frozenset(found)


def _of_tools(request: ChatRequest) -> set[Capability]:
    if request.tools and request.tool_choice in (None, "auto"):
        return {Capability.TOOLS}
    forced = request.tools and request.tool_choice != "none"
    if forced or any(message.tool_calls or message.role == "tool" for message in request.messages):
        return {Capability.FORCED_TOOLS}
    return set()
