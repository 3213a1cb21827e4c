#!/usr/bin/env python3
"""Holds a running server against src/contract/openapi.json: python3 tests/contracts/run.py STENTOR

The document is validated, and then schemathesis makes requests of it, sound ones and unsound ones, and sends them with a
publisher's, a subscriber's and an admin's key to a server of this run's own. Every status, header, content type and body
that comes back has to be in the document, what the document allows has to be taken, and what it forbids refused. The same
seed makes the same requests; SEED and EXAMPLES make others and more.

What is left out, and why, stands in schemathesis.toml and hooks.py.
"""

import http.client
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DOCUMENT = ROOT / "src/contract/openapi.json"
PACKAGES = ROOT / "target/contracts/python"
SEED = os.environ.get("SEED", "7")
EXAMPLES = os.environ.get("EXAMPLES", "15")
EVENTS = 10


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as place:
        return place.getsockname()[1]


PORT = int(os.environ.get("PORT") or free_port())
OWNER = "DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump"
# No handshake is too much here, and webhooks may lead to the sink. The metrics need a key from everywhere.
CONFIG = """[limits]
handshakes_per_second = 0
[webhooks]
allow = ["127.0.0.0/8"]
[metrics]
scrapers = []
"""


class Sink(http.server.BaseHTTPRequestHandler):
    """A customer's endpoint, which takes everything."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    install()
    python = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    subprocess.run([sys.executable, "-m", "openapi_spec_validator", DOCUMENT], env=python, check=True)
    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as data_dir:
        server = Server(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(data_dir))
        try:
            server.prepare(f"http://127.0.0.1:{sink.server_port}/")
            failed = [who for who in server.keys if not server.ask_as(who, python, sink.server_port)]
            check_streams(server)
        finally:
            server.stop()
    sys.exit(f"the server and its document disagree: as {', '.join(failed)}" if failed else 0)


def install():
    """What requirements.txt pins; left as it is where it is there already."""
    wanted = HERE / "requirements.txt"
    mark = PACKAGES / "installed.txt"
    if mark.exists() and mark.read_text() == wanted.read_text():
        return
    words = "-m pip install --quiet --disable-pip-version-check --upgrade --target".split()
    subprocess.run([sys.executable, *words, PACKAGES, "--requirement", wanted], check=True)
    mark.write_text(wanted.read_text())


class Server:
    def __init__(self, stentor, data_dir):
        self.stentor, self.data_dir = stentor, data_dir
        config = data_dir / "stentor.toml"
        config.write_text(CONFIG)
        for name, tier in [("feed", "free"), ("watcher", "elite"), ("ops", "elite")]:
            self.command("account", "create", name, "--tier", tier)
        self.keys = {
            "publisher": self.command("key", "create", "feed", "--role", "publisher"),
            "subscriber": self.command("key", "create", "watcher", "--role", "subscriber"),
            "admin": self.command("key", "create", "ops", "--role", "admin"),
        }
        serve = ["serve", "--listen", f"127.0.0.1:{PORT}", "--shards", "2", "--config", config]
        self.words = open(data_dir / "words", "w+")
        self.child = subprocess.Popen([stentor, "--data-dir", data_dir, *serve], stdout=self.words, stderr=self.words)
        while not self.is_up():
            if self.child.poll() is not None:
                sys.exit(f"the server ended:\n{self.said()}")

    def command(self, *words):
        ran = subprocess.run([self.stentor, "--data-dir", self.data_dir, *words], capture_output=True, text=True)
        if ran.returncode != 0:
            sys.exit(f"stentor {' '.join(words)}: {ran.stderr}")
        return ran.stdout.strip()

    def is_up(self):
        try:
            return self.ask("GET", "/healthz")[0] == 200
        except OSError:
            threading.Event().wait(0.05)
            return False

    def ask(self, method, path, who=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        headers = {"X-API-Key": self.keys[who]} if who else {}
        connection.request(method, path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def prepare(self, sink):
        """There is something to be listed of everything."""
        events = [{"type": "alert", "data": {"n": n}} for n in range(EVENTS)]
        for who, method, path, body in [
            ("publisher", "POST", "/api/events", events),
            ("subscriber", "POST", "/api/watchlist", {"owner": OWNER}),
            ("subscriber", "POST", "/api/webhooks", {"url": sink, "events": ["trade.new"]}),
            ("admin", "POST", "/api/webhooks", {"url": sink, "events": ["trade.new"]}),
        ]:
            status, answer = self.ask(method, path, who, body)
            assert status in (200, 201), answer
        # By these keys and names this run goes on: see hooks.py.
        _, listed = self.ask("GET", "/api/keys", "admin")
        own = [listed["keys"][0]["id"]]
        own += [self.ask("GET", f"/api/admin/accounts/{name}/keys", "admin")[1]["keys"][0]["id"] for name in ("feed", "watcher")]
        self.own = {"STENTOR_KEY_IDS": " ".join(own), "STENTOR_ACCOUNTS": "feed watcher ops", "STENTOR_EVENTS": str(EVENTS)}

    def ask_as(self, who, environment, sink_port):
        """What this key is for, with every check; and whether that went well."""
        print(f"\n── as {who}", flush=True)
        environment = {
            **environment,
            **self.own,
            "SCHEMATHESIS_HOOKS": "hooks",
            "PYTHONPATH": f"{PACKAGES}:{HERE}",
            "STENTOR_SINK": f"http://127.0.0.1:{sink_port}/",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml", "run", DOCUMENT]
        command += ["--url", f"http://127.0.0.1:{PORT}", "--header", f"X-API-Key: {self.keys[who]}"]
        command += ["--seed", SEED, "--max-examples", EXAMPLES]
        for operation in operations_of(who):
            command += ["--include-operation-id", operation]
        ended = subprocess.run(command, env=environment, cwd=self.data_dir).returncode
        assert self.ask("GET", "/healthz")[0] == 200, self.said()
        return ended == 0

    def said(self):
        self.words.seek(0)
        return self.words.read()

    def stop(self):
        self.child.terminate()
        self.child.wait(30)


# Their answers have no end, so no request made of the document could wait for it: see check_streams.
STREAMS = {"streamEvents": ("subscriber", "/events/stream?topic=alerts"), "statusStream": ("admin", "/api/admin/status/stream")}


def operations_of(who):
    """The operations that a key of this role is for."""
    named = []
    for path, operations in json.loads(DOCUMENT.read_text())["paths"].items():
        for method, operation in operations.items():
            role = "admin" if path.startswith(("/api/admin", "/metrics")) else "subscriber"
            role = "publisher" if (path, method) == ("/api/events", "post") else role
            if role == who and operation["operationId"] not in STREAMS:
                named.append(operation["operationId"])
    return named


def check_streams(server):
    """The heads of the two streams, held against the document by hand."""
    document = json.loads(DOCUMENT.read_text())
    for operation, (who, path) in STREAMS.items():
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        connection.request("GET", path, headers={"X-API-Key": server.keys[who]})
        answer = connection.getresponse()
        told = document["paths"][path.split("?")[0]]["get"]["responses"][str(answer.status)]
        assert answer.status == 200, (operation, answer.status)
        assert answer.headers.get_content_type() in told["content"], (operation, answer.headers)
        missing = [name for name in told["headers"] if name not in answer.headers]
        assert not missing, (operation, missing)
        assert answer.readline(), operation
        connection.close()


if __name__ == "__main__":
    main()
