"""Read a web page: fetch it within limits, and take its main text (trafilatura, extra `web`).

An address may come from a stranger, so a page is fetched only by http and https, from public addresses, with a limit of
size, time and redirects. Every address is looked up once, checked, and then connected to: an answer that changes
between check and connection has no effect.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import time
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from vivavoce.books.book import Book, Chapter
from vivavoce.books.decode import decode_with_notice
from vivavoce.books.html import read_html
from vivavoce.books.txt import read_txt

MAX_MB = 10.0
SECONDS = 30.0
REDIRECTS = 5
_AGENT = "vivavoce (text to speech; reads one page on request)"

# Short paragraphs that belong to the site and not to the text, in some languages.
_SITE = re.compile(
    r"(?:please )?(?:subscribe|sign up|log ?in|sign in|follow us|share (?:this|on)|advertisement|read more|related:|"
    r"click here|download our app|support us|donate|skip to|back to top|abonn|s['’]abonner|jetzt abonnieren|suscr[ií]b|"
    r"iscriviti|assine)|.*\b(?:cookies?|newsletter|privacy policy|terms of (?:use|service)|all rights reserved|"
    r"datenschutz|politique de confidentialité)\b",
    re.IGNORECASE,
)
_SITE_WORDS = 30  # a longer paragraph is text


def is_url(text: str) -> bool:
    """Return whether a text is a web address and nothing else."""
    return re.fullmatch(r"https?://[^\s/]+\.?\S*", text.strip(), re.IGNORECASE) is not None


def read_url(url: str, *, allow_private: bool = False, max_mb: float = MAX_MB, seconds: float = SECONDS) -> Book:
    """Return the main text of a web page as a book.

    allow_private: also read pages of this machine and the local network. max_mb, seconds: limits of the page.
    Raises ValueError, naming the address, for a page that cannot be fetched, has no text, or is no page; and if the
    extra `web` is missing.
    """
    try:
        import trafilatura
    except ImportError:
        raise ValueError("reading web pages needs the package trafilatura: pip install vivavoce[web]") from None

    data, kind, final = fetch(url, allow_private=allow_private, max_mb=max_mb, seconds=seconds)
    if kind == "text/plain":
        return read_txt(decode_with_notice(data, final)[0])
    if kind not in ("text/html", "application/xhtml+xml", ""):
        raise ValueError(f"{url} is {kind}, not a web page; download it and read it with --file")
    text = decode_with_notice(data, final, declared=True)[0]
    found = trafilatura.extract(
        text, url=final, output_format="html", include_comments=False, include_tables=True, favor_precision=True
    )
    about = trafilatura.extract_metadata(text, default_url=final)
    book = read_html(found) if found else Book("", ())
    chapters = tuple(filter(None, map(_without_site, book.chapters)))
    if not chapters:
        raise ValueError(f"{url} has no text to read; it may need a browser that runs its scripts")
    title = (about.title if about is not None else "") or book.title
    if title and title not in chapters[0].text[: len(title) + 80]:
        first = Chapter(chapters[0].title, f"{_ended(title)}\n\n{chapters[0].text}")
        chapters = (first, *chapters[1:])
    author = (about.author if about is not None else "") or ""
    year = ((about.date if about is not None else "") or "")[:4]
    return Book(title, chapters, (), book.notices, replace(book.about, author=author.replace("; ", ", "), year=year))


def _ended(title: str) -> str:
    return title if title[-1:] in ".!?…" else f"{title}."


def _without_site(chapter: Chapter) -> Chapter | None:
    paragraphs = re.split(r"\n\s*\n", chapter.text)
    kept = [p for p in paragraphs if len(p.split()) > _SITE_WORDS or not _SITE.match(p.strip())]
    text = "\n\n".join(kept)
    return replace(chapter, text=text) if any(map(str.isalnum, text)) else None


# --- fetching --------------------------------------------------------------------------------------------------------


def fetch(
    url: str, *, allow_private: bool = False, max_mb: float = MAX_MB, seconds: float = SECONDS
) -> tuple[bytes, str, str]:
    """Return the content of a page, its media type, and its address after redirects. Raises ValueError."""
    deadline = time.monotonic() + seconds
    address = url.strip()
    for _ in range(REDIRECTS + 1):
        try:
            status, headers, data = _request(address, allow_private, max_mb, deadline, seconds)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            late = isinstance(error, TimeoutError) or time.monotonic() > deadline
            reason = f"no answer within {seconds:g} s" if late else str(error) or type(error).__name__
            raise ValueError(f"{address}: {reason}") from None
        if status in (301, 302, 303, 307, 308) and headers.get("location"):
            address = urljoin(address, headers["location"])
            continue
        if status != 200:
            raise ValueError(
                f"{address}: the server answered {status} {http.client.responses.get(status, '')}".rstrip()
            )
        return data, headers.get("content-type", "").split(";")[0].strip().lower(), address
    raise ValueError(f"{url}: more than {REDIRECTS} redirects")


def _request(
    url: str, allow_private: bool, max_mb: float, deadline: float, seconds: float
) -> tuple[int, dict[str, str], bytes]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{url[:200]!r} is not a web address: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{url[:200]!r} is not a web address; it must start with http:// or https://")
    port = port or (443 if parts.scheme == "https" else 80)
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    raw = _connect(host, port, url, allow_private, deadline)
    try:
        if parts.scheme == "https":
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
        connection.sock = raw
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"User-Agent": _AGENT, "Accept": "text/html, text/plain;q=0.5", "Accept-Encoding": "identity"}
        raw.settimeout(_left(deadline))
        connection.request("GET", _ascii(target), headers=headers)
        answer = connection.getresponse()
        data = bytearray()
        while True:
            raw.settimeout(_left(deadline))
            part = answer.read1(65_536)
            data += part
            if len(data) > max_mb * 1e6:
                raise ValueError(f"{url}: the page has more than {max_mb:g} MB; it is not read")
            if not part:
                break
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, bytes(data)
    finally:
        connection.close()
        raw.close()


def _connect(host: str, port: int, url: str, allow_private: bool, deadline: float) -> socket.socket:
    """Connect to an address of the host that may be connected to."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ValueError(f"{url}: the host {host} is not known") from None
    addresses = [entry[4] for entry in found if allow_private or _is_public(str(entry[4][0]))]
    if not addresses:
        raise ValueError(f"{url}: {host} is an address of this machine or the local network; --allow-private reads it")
    problem: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection((str(address[0]), port), timeout=_left(deadline))
        except OSError as error:
            problem = error
    raise problem or OSError("no address")


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.split("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return ip.is_global and not ip.is_multicast and (mapped is None or mapped.is_global)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _ascii(target: str) -> str:
    from urllib.parse import quote

    return quote(target, safe="/?&=%:@!$'()*+,;~-._#[]")
