"""A conversation with the client of the package websockets."""

import asyncio

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from conversation import CLOSE, TASK, URL, closed, messages, opened, received


async def main():
    compression = "deflate" if TASK["deflate"] else None
    extensions = None
    if "window" in TASK:
        compression = None
        extensions = [ClientPerMessageDeflateFactory(server_max_window_bits=TASK["window"])]
    # The default limit is 1 MiB.
    async with connect(URL, compression=compression, extensions=extensions, max_size=None, proxy=None) as ws:
        opened(ws.response.headers.get("Sec-WebSocket-Extensions"))
        for message in messages():
            await ws.send(pieces(message) if "fragment" in TASK else message)
            received(await ws.recv())
        if CLOSE:
            await ws.close(*CLOSE)
            closed(ws.close_code)
        else:
            try:
                await ws.recv()
            except ConnectionClosed:
                closed(ws.close_code, ws.close_reason)


def pieces(message):
    """Splits a message into its frames; an empty message is one frame, too."""
    length = TASK["fragment"]
    return [message[start : start + length] for start in range(0, max(len(message), 1), length)]


asyncio.run(main())
