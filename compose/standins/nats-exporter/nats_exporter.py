"""Stands in for prometheus-nats-exporter: the same arguments, and the metrics of that name that we use.

Asks the monitoring port of each server at each scrape; one that does not answer is left out, and says so by
`gnatsd_up`. The rest of the original's metrics is missing here.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VARZ = (
    "connections", "total_connections", "slow_consumers", "subscriptions", "in_msgs", "out_msgs", "in_bytes",
    "out_bytes", "mem", "cpu", "max_payload", "routes",
)  # fmt: skip
SERVER = {"streams": "total_streams", "consumers": "total_consumers", "messages": "total_messages",
          "bytes": "total_message_bytes"}  # fmt: skip
STREAM = {"messages": "total_messages", "bytes": "total_bytes", "consumer_count": "consumer_count",
          "last_seq": "last_seq"}  # fmt: skip
CONSUMER = ("num_pending", "num_ack_pending", "num_redelivered", "num_waiting")

Sample = tuple[str, dict[str, str], float]


def ask(url: str) -> dict:  # type: ignore[type-arg]  # JSON of the server's own form
    with urllib.request.urlopen(url, timeout=3) as answer:
        return json.load(answer)


def samples(server: str) -> Iterator[Sample]:
    try:
        varz = ask(f"{server}/varz")
        jsz = ask(f"{server}/jsz?streams=true&consumers=true")
    except (OSError, ValueError) as error:
        print(f"{server}: {error}", file=sys.stderr, flush=True)
        yield "gnatsd_up", {"server_id": server}, 0
        return
    yield "gnatsd_up", {"server_id": server}, 1
    for name in VARZ:
        yield f"gnatsd_varz_{name}", {"server_id": server}, varz[name]
    own = {"server_id": server, "server_name": varz["server_name"]}
    for key, name in SERVER.items():
        yield f"jetstream_server_{name}", own, jsz.get(key, 0)
    for account in jsz.get("account_details", ()):
        for stream in account.get("stream_detail", ()):
            named = {**own, "account": account["name"], "stream_name": stream["name"]}
            for key, name in STREAM.items():
                yield f"jetstream_stream_{name}", named, stream["state"][key]
            for consumer in stream.get("consumer_detail", ()):
                for name in CONSUMER:
                    yield f"jetstream_consumer_{name}", {**named, "consumer_name": consumer["name"]}, consumer[name]


class Page(BaseHTTPRequestHandler):
    servers: tuple[str, ...] = ()

    def do_GET(self) -> None:
        found: dict[str, list[str]] = {}
        for server in self.servers:
            for name, labels, value in samples(server):
                text = ",".join(f'{key}="{label}"' for key, label in labels.items())
                found.setdefault(name, []).append(f"{name}{{{text}}} {value}")
        lines = [line for name, several in found.items() for line in (f"# TYPE {name} gauge", *several)]
        body = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A line for each scrape would say nothing."""


if __name__ == "__main__":
    options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:] if word.startswith("-"))
    Page.servers = tuple(word for word in sys.argv[1:] if not word.startswith("-"))
    ThreadingHTTPServer((options.get("addr", "0.0.0.0"), int(options.get("port", "7777"))), Page).serve_forever()
