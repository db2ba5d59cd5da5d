"""The keys of a polled source in the list of sources."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from addresses import is_safe_on_its_way
from ingest.live.answers import PollLimits
from ingest.live.polled_pages import SINCE, PagingKind, PollAddress
from ingest.tables.keys import TomlKeys, WrongKey

POLL_KEYS = (
    *("url", "every_s", "deadline_s", "most_mb", "headers", "header_files", "ca_file", "cert_file", "key_file"),
    *("paging", "page_size", "begin_h", "overlap_s"),
)
_LONGEST_URL = 2_000
_OURS = frozenset(("accept-encoding", "if-none-match", "if-modified-since", "host", "connection", "content-length"))
_PAGINGS: Mapping[str, PagingKind] = {"none": "none", "link": "link", "offset": "offset"}


def poll_address(keys: TomlKeys, beside: Path) -> PollAddress:
    """Where a source is asked. Raises `WrongKey`."""
    url = _url(keys)
    every_s, paging = keys.whole("every_s", 1, 86_400), _PAGINGS[keys.one_of("paging", list(_PAGINGS), "none")]
    if paging != "offset" and "page_size" in keys:
        raise WrongKey(f'{keys.label} has page_size, which belongs to paging = "offset"')
    if SINCE not in url and (extra := [key for key in ("begin_h", "overlap_s") if key in keys]):
        raise WrongKey(f"{keys.label} has {extra[0]}, but no {SINCE} in its url")
    headers = keys.names("headers")
    files = {name: beside / path for name, path in keys.names("header_files").items()}
    for name in (*headers, *files):
        if not (name.isascii() and name.replace("-", "").isalnum()) or name.lower() in _OURS:
            raise WrongKey(f"{keys.label} has the header {name!r}, which it may not set")
    if any(not text.isascii() or not text.isprintable() for text in headers.values()):
        raise WrongKey(f"{keys.label} has headers that are not one line of ASCII")
    found = PollAddress(
        url=url,
        every_s=every_s,
        limits=PollLimits(keys.whole("deadline_s", 1, 3_600, 60), keys.whole("most_mb", 1, 1_024, 64) << 20),
        headers=headers,
        header_files=files,
        paging=paging,
        page_size=keys.whole("page_size", 1, 100_000, 1_000),
        begin_s=keys.whole("begin_h", 1, 8_784, 24) * 3_600,
        overlap_s=keys.whole("overlap_s", 0, 604_800, 3_600),
    )
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise WrongKey(f"{keys.label} has header_files, but there is no file {missing[0]}")
    return found


def poll_trust(keys: TomlKeys, beside: Path) -> ssl.SSLContext:
    """Whom to trust, and who we are: the authorities of `ca_file` alone, if there is one. Raises `WrongKey`."""
    files = {key: beside / keys.text(key) for key in ("ca_file", "cert_file", "key_file") if key in keys}
    if "key_file" in files and "cert_file" not in files:
        raise keys.wrong("key_file", "it needs cert_file")
    try:
        if "ca_file" in files:
            trusted = ssl.create_default_context(cafile=files["ca_file"])
        else:
            trusted = httpx.create_ssl_context(trust_env=False)
        if "cert_file" in files:
            trusted.load_cert_chain(files["cert_file"], files.get("key_file"))
    except (OSError, ssl.SSLError):
        raise WrongKey(f"{keys.label} has TLS files that are no PEM of certificates and their key") from None
    return trusted


def _url(keys: TomlKeys) -> str:
    url = keys.text("url")
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0 and len(url) <= _LONGEST_URL
        httpx.URL(url.replace(SINCE, ""))
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable or not url.isascii() or any(sign <= " " for sign in url) or parts.fragment:
        raise WrongKey(f"{keys.label} needs url, an address in ASCII")
    if "@" in parts.netloc:
        raise WrongKey(f"{keys.label} has a user or password in its url: a header of header_files holds them")
    if not is_safe_on_its_way(parts):
        words = "what it answers, and secrets, would go over the network in the clear: its url begins with https://"
        raise WrongKey(f"{keys.label}: {words} (http:// only to the machine itself)")
    if SINCE in url.replace(parts.query, ""):
        raise WrongKey(f"{keys.label} has {SINCE} outside the query of its url")
    return url
