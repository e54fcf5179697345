"""What the clients in Python have in common: the task, which is their argument, and the report, a line of JSON an event.

support/interop.js says what is in them.
"""

import hashlib
import json
import sys
import urllib.request

TASK = json.loads(sys.argv[1])
URL = TASK["webSocketUrl"] + TASK["path"]
CLOSE = TASK["close"]

# Whatever proxy the environment names: not for this.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def messages():
    """Each message to send, a str or bytes."""
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
