"""The containers' health check, as the engine runs it."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.keys.certificates import make_certificates
from shared.probe import FRESH

ROOT = Path(__file__).parents[3]


def probe(*arguments: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "shared.probe", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=30,
        env={**os.environ, "http_proxy": "http://127.0.0.1:1", **variables},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@contextmanager
def answering(status: int, certificate: Path | None = None) -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"status":"so"}')

        def log_message(self, *_: object) -> None: ...

    with TCPServer(("127.0.0.1", 0), Page) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/health"
        server.shutdown()


def test_an_address_that_answers_200_is_healthy() -> None:
    with answering(200) as url:
        assert probe(url) == (0, "")


def test_an_address_that_answers_503_is_not_and_its_answer_is_shown() -> None:
    with answering(503) as url:
        code, said = probe(url)

    assert code == 1
    assert 'answered 503: {"status":"so"}' in said


def test_an_address_where_nobody_listens_is_not() -> None:
    code, said = probe("http://127.0.0.1:1/health")

    assert code == 1
    assert "did not answer" in said


def test_a_server_with_a_certificate_is_asked_over_https_and_must_have_that_one(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    orchestrator, scheduler = tmp_path / "orchestrator.crt", tmp_path / "other.crt"
    scheduler.write_bytes(_first(tmp_path / "scheduler.crt"))
    with answering(200, orchestrator) as url:
        assert probe(url, HODEI_TLS_CERT=str(orchestrator)) == (0, "")
        code, said = probe(url, HODEI_TLS_CERT=str(scheduler))

    assert code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in said


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    code, said = probe("http://127.0.0.1:1/health", HODEI_TLS_CERT=str(tmp_path / "none.crt"))

    assert code == 1
    assert "No such file" in said


def _first(chain: Path) -> bytes:
    """The server's certificate without the authority's."""
    [leaf, _] = x509.load_pem_x509_certificates(chain.read_bytes())
    return leaf.public_bytes(Encoding.PEM)


def test_a_file_touched_just_now_is_healthy(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    alive.touch()

    assert probe(str(alive)) == (0, "")


def test_a_file_that_is_missing_or_stale_is_not(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    assert probe(str(alive))[0] == 1
    alive.touch()
    os.utime(alive, (time.time() - FRESH - 2,) * 2)

    code, said = probe(str(alive))

    assert code == 1
    assert "no heartbeat reached NATS" in said


def test_a_file_says_for_how_long_it_holds_good(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    for seconds, healthy in (("90", True), ("20", False)):
        alive.write_text(f"{seconds}\n")
        os.utime(alive, (time.time() - 60,) * 2)
        assert (probe(str(alive))[0] == 0) is healthy


def test_a_wrong_call_says_how_to_call_it() -> None:
    code, said = probe()

    assert code == 2
    assert said.startswith("usage:")
