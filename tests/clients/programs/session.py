"""Any protocol's client on PyPI's `websockets`, which reconnects by itself. Usage: python3 session.py URL PLAN

PLAN is JSON: {"headers": {}, "opening": [messages], "heartbeat": [message, seconds], "leaving": [messages]}, all optional. A
message is a text or what becomes one as JSON. SIGUSR2 makes it say what is to be said when leaving. Prints what the
programs in JavaScript print.
"""

import asyncio
import json
import signal
import sys

import websockets


def say(*words: object) -> None:
    print(*words, flush=True)


async def send(socket: websockets.ClientConnection, message: object) -> None:
    await socket.send(message if isinstance(message, str) else json.dumps(message))


async def beat(socket: websockets.ClientConnection, message: object, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await send(socket, message)


async def session(socket: websockets.ClientConnection, plan: dict) -> None:
    say("open")
    for message in plan.get("opening", []):
        await send(socket, message)
    async for text in socket:
        say("message", json.dumps(json.loads(text), ensure_ascii=False))


async def run(url: str, plan: dict) -> None:
    loop = asyncio.get_running_loop()
    leaving = asyncio.Event()
    async for socket in websockets.connect(url, additional_headers=plan.get("headers")):

        def leave(socket: websockets.ClientConnection = socket) -> None:
            leaving.set()
            asyncio.ensure_future(socket.close())

        async def unsubscribe(socket: websockets.ClientConnection = socket) -> None:
            for message in plan.get("leaving", []):
                await send(socket, message)

        loop.add_signal_handler(signal.SIGTERM, leave)
        loop.add_signal_handler(signal.SIGUSR2, lambda: asyncio.ensure_future(unsubscribe()))
        beating = asyncio.ensure_future(beat(socket, *plan["heartbeat"])) if "heartbeat" in plan else None
        try:
            await session(socket, plan)
        except websockets.ConnectionClosed:
            pass
        finally:
            if beating:
                beating.cancel()
        say("close", socket.close_code, socket.close_reason)
        if leaving.is_set():
            return


try:
    asyncio.run(run(sys.argv[1], json.loads(sys.argv[2])))
except (websockets.InvalidHandshake, OSError) as error:
    say("error", error)
