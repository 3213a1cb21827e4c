"""A receiver on Flask that checks a webhook's signature over the body as text. Usage: WEBHOOK_SECRET=… python3 hook_flask.py PORT"""

import hashlib
import hmac
import os
import sys

from flask import Flask, request

SECRET = os.environ["WEBHOOK_SECRET"]
app = Flask(__name__)


def say(line: str) -> None:
    # In one piece: each request has a thread.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def is_signed(payload: str, signature: str) -> bool:
    own = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(signature, own)


@app.route("/webhook", methods=["POST"])
def receive():
    payload = request.get_data(as_text=True)
    if not is_signed(payload, request.headers.get("X-Webhook-Signature")):
        say("refused")
        return "Invalid signature", 401
    # It is the text that was signed; that it is JSON, too, shows here.
    assert request.get_json()["data"]["owner"]
    say(f"verified {payload}")
    return "OK", 200


app.run("127.0.0.1", int(sys.argv[1]))
