from urllib.parse import urlsplit

import pytest

from addresses import is_loopback, is_safe_on_its_way


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_itself(host: str) -> None:
    assert is_loopback(host)
    shown = f"[{host}]" if ":" in host else host
    assert is_safe_on_its_way(urlsplit(f"http://{shown}:8080/x"))


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example", "localhost.example", "127.1"])
def test_others_are_reached_by_tls_alone(host: str) -> None:
    assert not is_loopback(host)
    shown = f"[{host}]" if ":" in host else host
    assert not is_safe_on_its_way(urlsplit(f"http://{shown}/"))
    assert is_safe_on_its_way(urlsplit(f"https://{shown}/"))


def test_another_scheme_is_not_safe_even_to_this_machine() -> None:
    assert not is_safe_on_its_way(urlsplit("ftp://localhost/"))
