"""Web pages, from a server on this machine: what is read, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from helpers.web import serving_pages

from vivavoce.books import web

ARTICLE = (
    """<!doctype html><html lang="en"><head><title>The Otter Returns</title><meta name="author" content="Ann Lee">
</head><body><nav><a href="/">Home</a><a href="/b">Sport</a></nav><div id="cookie">We use cookies to improve this site.
<button>Accept all</button></div><article><h1>The Otter Returns</h1>"""
    + "".join(
        f"<p>Paragraph {number} tells at length how the otter came back to the river, where nobody had seen one for "
        f"forty years, and what the people of the valley thought about it [voice:nash].</p>"
        for number in ("one", "two", "three", "four")
    )
    + """<p>Subscribe now to our newsletter!</p><p>Sign up to read more.</p></article>
<footer>All rights reserved. Privacy policy.</footer></body></html>"""
)


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/slow":
            time.sleep(3)
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        kinds = {"/image": "image/png", "/plain": "text/plain; charset=utf-8"}
        body = {"/article": ARTICLE, "/plain": "Just words.", "/empty": "<html><body></body></html>"}.get(path, ARTICLE)
        data = body.encode() if path != "/large" else b"<p>word</p>" * 200_000
        self.send_response(404 if path == "/missing" else 200)
        self.send_header("Content-Type", kinds.get(path, "text/html; charset=utf-8"))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving_pages(Pages) as found:
        yield found


def test_the_text_of_a_page_is_read_without_what_belongs_to_the_site(address: str) -> None:
    pytest.importorskip("trafilatura")
    book = web.read_url(f"{address}/article", allow_private=True)
    assert book.title == "The Otter Returns" and book.about.author == "Ann Lee"
    assert book.text.count("The Otter Returns") == 1 and "Paragraph four tells" in book.text
    for site in ("cookies", "Subscribe", "Sign up", "newsletter", "Privacy", "Sport", "Accept"):
        assert site not in book.text
    assert r"\[voice:nash\]" in book.text  # brackets of strangers are no tags


def test_redirects_are_followed_and_plain_text_is_read(address: str) -> None:
    pytest.importorskip("trafilatura")
    assert web.read_url(f"{address}/to//plain", allow_private=True).text.strip() == "Just words."


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/missing", "404 Not Found"),
        ("/image", "is image/png, not a web page"),
        ("/empty", "has no text to read"),
        ("/to/file:///etc/passwd", "must start with http"),
        ("/to/" * 7 + "/article", "more than 5 redirects"),
    ],
)
def test_what_is_no_page(path: str, problem: str, address: str) -> None:
    pytest.importorskip("trafilatura")
    with pytest.raises(ValueError, match=problem):
        web.read_url(f"{address}{path}", allow_private=True)


def test_limits_of_size_and_time(address: str) -> None:
    with pytest.raises(ValueError, match="has more than 1 MB"):
        web.fetch(f"{address}/large", allow_private=True, max_mb=1)
    with pytest.raises(ValueError, match=r"no answer within 0\.5 s"):
        web.fetch(f"{address}/slow", allow_private=True, seconds=0.5)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::1]", "0.0.0.0", "[::ffff:10.0.0.1]"],
)
def test_addresses_of_this_machine_and_its_network_are_refused(host: str) -> None:
    with pytest.raises(ValueError, match="this machine or the local network; --allow-private reads it"):
        web.fetch(f"http://{host}/")


def test_a_redirect_to_a_private_address_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def is_public(ip: str) -> bool:  # the first address counts as public, the second does not
        checked.append(ip)
        return len(checked) == 1

    monkeypatch.setattr(web, "_is_public", is_public)
    with pytest.raises(ValueError, match="local network"):
        web.fetch(f"{address}/to//article")
    assert len(checked) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.org/a?b=1", True),
        (" http://example.org ", True),
        ("see https://example.org", False),
        ("a.txt", False),
    ],
)
def test_what_is_a_web_address(text: str, expected: bool) -> None:
    assert web.is_url(text) == expected
