"""Take the screenshots of the server's page in docs/: light, dark, and on a phone.

    python benchmarks/page_pictures.py docs

starts a server with the bundled model, speaks two texts, opens a book, and writes page-light.png, page-dark.png and
page-phone.png. Needs playwright (extra browser-test) and Chromium.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from barge_in import server
from common import parser

TEXTS = (
    "Good morning. It is 7:45, the sun is out, and nobody expects anything from you before nine.",
    "The lamp in the window burned all night. At dawn somebody came up the path, knocked twice, and waited.",
)
BOOK = "".join(
    f"# {title}\n\nThe road was empty, and they walked on until the first houses came into sight.\n\n"
    for title in ("The road", "The first houses", "At the inn", "What the innkeeper knew")
)
VIEWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1180, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1180, "height": 900}, "color_scheme": "dark"},
    "phone": {
        "viewport": {"width": 360, "height": 780},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
        "color_scheme": "light",
    },
}


def take(browser: Any, address: str, view: str, folder: Path) -> None:
    """Write one screenshot."""
    page = browser.new_context(**VIEWS[view]).new_page()
    page.goto(address)
    for text, voice in zip(TEXTS, ("rhea", "orion"), strict=True):
        page.check(f"#voices input[value={voice}]", force=True)
        page.fill("#text", text)
        page.click("#speak")
        page.wait_for_selector("#status:text-matches('generated in|stored')", timeout=120_000)
    if view != "phone":
        book = {"name": "The road.md", "mimeType": "text/markdown", "buffer": BOOK.encode()}
        page.set_input_files("#book-file", book)
        page.wait_for_selector("#chapters button")
    page.wait_for_timeout(1_500)  # a word is highlighted
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=folder / f"page-{view}.png", full_page=view != "phone")


def main(argv: Sequence[str] | None = None) -> int:
    parse = parser(__doc__)
    parse.add_argument("folder", type=Path)
    folder = parse.parse_args(argv).folder
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with server() as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path)
        for view in VIEWS:
            take(browser, address, view, folder)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
