"""What resuming.cjs is, on PyPI's `websockets`. Usage: python3 resuming.py URL OPENING"""

import asyncio
import json
import sys

import websockets

RECONNECT_S = 0.2


def say(*words: object) -> None:
    print(*words, flush=True)


async def run(url: str, opening: list[dict]) -> None:
    since = 0
    while True:
        try:
            async with websockets.connect(url if opening else f"{url}&since={since}") as socket:
                say("open")
                for message in opening:
                    await socket.send(json.dumps(message | {"since": since}))
                async for text in socket:
                    say("message", text)
                    message = json.loads(text)
                    since = message["to"] if message["type"] == "gap" else message.get("seq", since)
        except (OSError, websockets.WebSocketException) as error:
            say("error", error)
        say("close")
        await asyncio.sleep(RECONNECT_S)


asyncio.run(run(sys.argv[1], json.loads(sys.argv[2])))
