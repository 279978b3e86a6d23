"""Reads with httpx-sse."""

import json
import sys

import httpx
import httpx_sse

url, wanted = sys.argv[1], int(sys.argv[2])
lines = []
with httpx.Client(timeout=60, trust_env=False) as client:
    with httpx_sse.connect_sse(client, "GET", url) as source:
        for event in source.iter_sse():
            if event.event == "log":
                lines.append(json.dumps([event.id, event.data]))
            if len(lines) == wanted:
                break
print("\n".join(lines))
