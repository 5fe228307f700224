"""Hosts and origins: read as browsers and HTTP write them, and nothing else taken for one."""

import pytest

from shared.origins import Host, Hosts, Origin, Origins, read_host, read_origin


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost", Host("localhost")),
        ("LocalHost.:8080", Host("localhost", 8080)),
        ("hodei.example:", Host("hodei.example")),
        ("127.0.0.1:80", Host("127.0.0.1", 80)),
        ("[::1]:8080", Host("::1", 8080)),
        ("[0:0::1]", Host("::1")),
        ("[::ffff:127.0.0.1]", Host("127.0.0.1")),
        ("worker_manager:8082", Host("worker_manager", 8082)),
    ],
)
def test_a_host_is_read(text: str, host: Host) -> None:
    assert read_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        ":80",
        "::1",
        "[::1",
        "[::g]",
        "a b",
        "a:b",
        "a:99999",
        "a:1:2",
        "u@a",
        "a/b",
        "a,b",
        "é",
        "a:１",
        "[::1%eth0]",
    ],
)
def test_what_is_not_a_host_is_none(text: str) -> None:
    assert read_host(text) is None


@pytest.mark.parametrize(
    "name", ["localhost", "app.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_loopback_names_are_known(name: str) -> None:
    host = read_host(name)
    assert host is not None
    assert host.is_loopback


@pytest.mark.parametrize(
    "name",
    ["localhost.example", "notlocalhost", "127.0.0.1.example", "0.0.0.0", "10.0.0.1", "[::2]", "127.0.0.example"],
)
def test_what_only_looks_like_loopback_is_not(name: str) -> None:
    host = read_host(name)
    assert host is not None
    assert not host.is_loopback


def test_an_origin_without_a_port_has_its_schemes() -> None:
    assert read_origin("https://A.example") == Origin("https", Host("a.example", 443))
    assert read_origin("http://a.example:8080") == Origin("http", Host("a.example", 8080))


@pytest.mark.parametrize("text", ["null", "", "a.example", "http://", "http://a/", "http://a?b", "file://", "1://a"])
def test_what_is_not_an_origin_is_none(text: str) -> None:
    assert read_origin(text) is None


@pytest.mark.parametrize(
    ("listed", "origin", "accepted"),
    [
        ("loopback", "http://localhost:3000", True),
        ("loopback", "https://[::1]:8443", True),
        ("loopback", "http://127.0.0.1", True),
        ("loopback", "http://localhost.evil.example:3000", False),
        ("loopback", "chrome-extension://localhost", False),
        ("https://a.example", "https://a.example:443", True),
        ("https://a.example/", "http://a.example", False),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example", "http://localhost:3000", False),
        ("https://a.example:*", "https://a.example:8443", True),
        ("http://b.example, loopback", "http://localhost:1", True),
        ("*", "https://whoever.example", True),
    ],
)
def test_a_list_accepts_what_it_names(listed: str, origin: str, accepted: bool) -> None:
    read = read_origin(origin)
    assert read is not None
    assert Origins(listed).accept(read) is accepted


@pytest.mark.parametrize(
    ("listed", "host", "accepted"),
    [
        ("", "localhost", True),
        ("", "hodei.example", False),
        ("hodei.example", "Hodei.Example.:8080", True),
        ("hodei.example:8080", "hodei.example:8080", True),
        ("hodei.example:8080", "hodei.example", False),
        ("hodei.example,", "evil.hodei.example", False),
        ("[2001:db8::1]", "[2001:DB8:0::1]:8080", True),
        ("*", "hodei.example", False),
    ],
)
def test_a_list_of_hosts_accepts_what_it_names(listed: str, host: str, accepted: bool) -> None:
    read = read_host(host)
    assert read is not None
    assert Hosts(listed).accept(read) is accepted


def test_a_page_is_the_services_own_by_host_and_port() -> None:
    origin = read_origin("https://hodei.example")
    assert origin is not None
    assert origin.serves(Host("hodei.example"))
    assert origin.serves(Host("hodei.example", 443))
    assert not origin.serves(Host("hodei.example", 8080))
    assert not origin.serves(Host("evil.example"))
