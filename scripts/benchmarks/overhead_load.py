"""A load generator that costs little itself: raw sockets, keep-alive, a fixed number of connections.

usage: python overhead_load.py HOST PORT CONNECTIONS SECONDS  (the request body on standard input)
Prints JSON: requests, seconds, and latencies in milliseconds. An answer other than 200 ends it with an error.
"""

import asyncio
import json
import sys
import time


async def _client(host: str, port: int, request: bytes, until: float, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        await _response(reader)
        latencies.append((time.perf_counter() - began) * 1000)
    writer.close()


async def _response(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise SystemExit(f"unexpected answer: {head[:200]!r} {(await reader.read(500))!r}")
    if b"transfer-encoding: chunked" in head:
        while (size := int(await reader.readline(), 16)) > 0:
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        length = head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
        await reader.readexactly(int(length))


async def _main() -> None:
    host, port, connections, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    body = sys.stdin.buffer.read()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer bench-key\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    latencies: list[float] = []
    began = time.perf_counter()
    clients = [_client(host, port, head.encode() + body, began + seconds, latencies) for _ in range(connections)]
    await asyncio.gather(*clients)
    print(json.dumps({"seconds": time.perf_counter() - began, "latencies_ms": latencies}))


if __name__ == "__main__":
    asyncio.run(_main())
