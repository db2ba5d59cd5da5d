"""Take the pictures of docs/page.md anew: `python -m docs.screenshots`, with Chromium and Noto's fonts installed.

Two made-up cities in fresh databases of an embedded PostgreSQL, the page of one of them as people see it.
"""

import tempfile
from pathlib import Path

from embedded.remove import remove
from embedded.services import services
from store.database import create_database
from store.migrations import migrate
from tests.conftest import INSTALLED
from tests.federation.city import serving
from tests.federation.two_cities import exchanged
from tests.system.chromium import chromium

IMAGES = Path(__file__).parent / "images"
PICTURES = (
    ("page-en-desktop.png", "en", 1280, 900, False),
    ("page-vi-phone.png", "vi", 390, 844, True),
    ("page-fa-phone.png", "fa", 390, 844, True),
)


def main() -> None:
    """Write every picture."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)
        try:
            with services(home, installed=INSTALLED, report=print) as running:
                urls = [create_database(running.database_url, city) for city in ("isfahan", "partner")]
                for url in urls:
                    migrate(url)
                exchanged(*urls)
                _take(urls[0], home)
        finally:
            remove(home)


def _take(database_url: str, home: Path) -> None:
    profile = home / "chromium"
    profile.mkdir()
    with serving(database_url) as address, chromium(profile) as browser:
        for name, language, width, height, phone in PICTURES:
            view = browser.view(width, height, phone=phone)
            view.open(f"{address}/?lang={language}")
            (IMAGES / name).write_bytes(view.picture())
            print(f"{IMAGES / name}: {(IMAGES / name).stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
