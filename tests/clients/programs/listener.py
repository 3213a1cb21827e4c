"""A subscriber on PyPI's `websockets`. Usage: python3 listener.py URL

Prints what emitter.mjs prints, but for pings, which the library answers by itself and does not show.
"""

import asyncio
import json
import signal
import sys

import websockets

FIELDS = ("tradeType", "owner", "marketSymbol", "side", "sizeUsd", "leverage", "entryPrice", "timestamp")


def say(*words: object) -> None:
    print(*words, flush=True)


async def listen(url: str) -> None:
    # A ping of the library's own every 20 s is its default; the server has to answer.
    async with websockets.connect(url) as socket:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(socket.close()))
        extensions = ", ".join(extension.name for extension in socket.protocol.extensions)
        say("open", json.dumps(extensions))
        try:
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "reconnect":
                    continue
                assert isinstance(text, str) and message["type"] == "trade", text
                say("trade", json.dumps([message["seq"], *(message["data"][field] for field in FIELDS)]))
        except websockets.ConnectionClosed:
            pass
    say("close", socket.close_code, socket.close_reason)


try:
    asyncio.run(listen(sys.argv[1]))
except (websockets.InvalidHandshake, OSError) as error:
    say("error", error)
