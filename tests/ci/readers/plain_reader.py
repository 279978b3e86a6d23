"""Reads with sseclient-py, over urllib."""

import json
import sys
import urllib.request

import sseclient

url, wanted = sys.argv[1], int(sys.argv[2])
request = urllib.request.Request(url, headers={"Accept": "text/event-stream"})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Chunks:
    """The pieces of a response as they come."""

    def __init__(self, response):
        self.response = response

    def __iter__(self):
        return iter(lambda: self.response.read1(65536), b"")

    def close(self):
        self.response.close()


lines = []
for event in sseclient.SSEClient(Chunks(opener.open(request, timeout=60))).events():
    if event.event == "log":
        lines.append(json.dumps([event.id, event.data]))
    if len(lines) == wanted:
        break
print("\n".join(lines))
