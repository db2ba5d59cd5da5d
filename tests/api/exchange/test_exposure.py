"""What has to be set before other machines may reach the partner API."""

import pytest

from api.exchange.exposure import Unprotected, check_exposure

NAMES = ["exchange.isfahan.example"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_loopback_nothing_has_to_be_set(host):
    check_exposure(host, tls=False, proxies=False, hosts=())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "exchange.isfahan.example"])
def test_beyond_loopback_tls_or_a_proxy_and_names_are_needed(host):
    for tls, proxies in ((True, False), (False, True)):
        check_exposure(host, tls=tls, proxies=proxies, hosts=NAMES)
        with pytest.raises(Unprotected, match="SISTERCITY_EXCHANGE_HOSTS"):
            check_exposure(host, tls=tls, proxies=proxies, hosts=())
    with pytest.raises(Unprotected, match="in the clear"):
        check_exposure(host, tls=False, proxies=False, hosts=NAMES)
