"""What stand-ins are told of this machine's package archives."""

from __future__ import annotations

import pytest

from tests.standins import debian


def test_an_archives_credentials_go_into_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "https://me:secret@archive.test:8443/debian/ bookworm main\nhttp://other.test/debian/ trixie main\n"
    monkeypatch.setattr(debian, "run", lambda _command: listed)
    monkeypatch.setattr(debian, "codename", lambda: "bookworm")

    assert debian.sources() == ["deb https://archive.test:8443/debian/ bookworm main"]


def test_installing_starts_no_service_of_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []
    monkeypatch.setattr(debian.shutil, "which", lambda name: None if name == "dockerd" else f"/usr/bin/{name}")
    monkeypatch.setattr(debian, "run", lambda *_words, environment, **_deadline: asked.append(environment))

    debian.install(["dockerd", "ip"])

    assert [environment["RUNLEVEL"] for environment in asked] == ["1", "1"]
