"""Which addresses lie inside a private network, in every spelling that a resolver takes."""

import pytest

from federation.agreements.addresses import is_private, is_public

INSIDE = (
    *("localhost", "localhost.", "x.localhost", "intranet", "node.local", "node.internal", "router.lan"),
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0.0.0.0", "127.0.0.1."),
    *("10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "224.0.0.1"),
    *("[::1]", "[::]", "[fe80::1%25eth0]", "[fd00::1]", "[::ffff:10.0.0.1]", "[2002:0a00:0001::1]", "[ff0e::1]"),
)


@pytest.mark.parametrize("host", INSIDE)
def test_a_private_address_is_known_by_its_text(host):
    assert is_private(f"https://{host}:8443/path")


@pytest.mark.parametrize("host", ["exchange.isfahan.example", "8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]"])
def test_a_public_one_too(host):
    assert not is_private(f"https://{host}")


def test_what_a_name_leads_to_is_judged_as_an_address():
    assert is_public("8.8.8.8")
    assert not is_public("::ffff:127.0.0.1")
