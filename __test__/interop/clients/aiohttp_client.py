"""A conversation with the client of the package aiohttp."""

import asyncio

from aiohttp import ClientSession, WSMsgType

from conversation import CLOSE, TASK, URL, closed, messages, opened, received

# The window bits to offer for permessage-deflate; 0 turns it off.
WINDOW_BITS = 15 if TASK["deflate"] else 0


async def main():
    async with ClientSession() as session:
        # The default limit is 4 MiB; 0 turns it off.
        async with session.ws_connect(URL, compress=WINDOW_BITS, max_msg_size=0) as ws:
            # The negotiated window bits, or 0. The header itself is not accessible.
            opened("permessage-deflate" if ws.compress else "")
            for message in messages():
                await (ws.send_str if isinstance(message, str) else ws.send_bytes)(message)
                answer = await ws.receive()
                if answer.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    raise RuntimeError(f"received {answer} instead of a message")
                received(answer.data)
            if CLOSE:
                code, reason = CLOSE
                await ws.close(code=code, message=reason.encode())
                closed(ws.close_code)
            else:
                answer = await ws.receive()
                if answer.type is not WSMsgType.CLOSE:
                    raise RuntimeError(f"received {answer} instead of the close frame")
                closed(answer.data, answer.extra)


asyncio.run(main())
