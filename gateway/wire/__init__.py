"""What stands on the wire: OpenAI's bodies and server-sent events, for the edge and for backends alike."""
