"""The edge: HTTP becomes requests, answers become bytes. The request path is raw ASGI; FastAPI does the rest."""
