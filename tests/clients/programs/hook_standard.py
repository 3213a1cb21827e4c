"""A receiver that leaves the checking to PyPI's standardwebhooks. Usage: WEBHOOK_SECRET=… python3 hook_standard.py PORT"""

import os
import sys

from flask import Flask, request
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
app = Flask(__name__)


def say(line: str) -> None:
    # In one piece: each request has a thread.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@app.route("/webhook", methods=["POST"])
def receive():
    payload = request.get_data(as_text=True)
    try:
        webhook.verify(payload, dict(request.headers))
    except WebhookVerificationError as error:
        say(f"refused {error}")
        return "", 401
    say(f"verified {payload}")
    return "", 204


app.run("127.0.0.1", int(sys.argv[1]))
