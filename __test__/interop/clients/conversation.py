"""Shared by the Python clients: the task, which is their argument, and the report, one line of JSON per event.

support/interop.js documents both.
"""

import hashlib
import json
import sys
import urllib.request

TASK = json.loads(sys.argv[1])
URL = TASK["webSocketUrl"] + TASK["path"]
CLOSE = TASK["close"]

# Ignores proxies from the environment.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def messages():
    """Yields each message to send, as str or bytes."""
    for message in TASK["messages"]:
        with _opener.open(TASK["httpUrl"] + message["path"]) as response:
            data = response.read()
        yield data if message["isBinary"] else data.decode()


def opened(extensions):
    _report("open", extensions or "")


def received(message):
    is_binary = not isinstance(message, str)
    data = message if is_binary else message.encode()
    _report("message", is_binary, hashlib.sha256(data).hexdigest())


def closed(*code_and_reason):
    _report("close", *code_and_reason)


def _report(*event):
    print(json.dumps(event), flush=True)
