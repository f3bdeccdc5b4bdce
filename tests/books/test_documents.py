"""Files to be read aloud: chapters, what of a page is spoken and what is not, and files that are damaged: documents."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from vivavoce.books import readers

# --- word processors, pdf --------------------------------------------------------------------------------------------
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def test_docx_chapters_are_its_headings() -> None:
    def paragraph(text: str, style: str = "") -> str:
        properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
        return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"

    styles = f'<w:styles {W}><w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style></w:styles>'
    deleted = "<w:p><w:r><w:t>Kept</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>"
    body = paragraph("One", "berschrift1") + paragraph("First [x].") + deleted + paragraph("Two", "berschrift1")
    with zipfile.ZipFile("a.docx", "w") as file:
        file.writestr("word/styles.xml", styles)
        file.writestr("word/document.xml", f"<w:document {W}><w:body>{body}{paragraph('Last.')}</w:body></w:document>")
    book = readers.read("a.docx")
    assert [(c.title, c.text) for c in book.chapters] == [
        ("One", "One\n\nFirst \\[x\\].\n\nKept"),
        ("Two", "Two\n\nLast."),
    ]


def test_odt_chapters_are_its_headings() -> None:
    names = 'xmlns:office="o" xmlns:text="t"'
    body = (
        '<text:h text:outline-level="1">One</text:h><text:p>First<text:s/>one<text:note>n</text:note>, <text:span>two'
        '</text:span>.</text:p><text:h text:outline-level="1">Two</text:h><text:p>Last.</text:p>'
    )
    with zipfile.ZipFile("a.odt", "w") as file:
        file.writestr(
            "content.xml",
            f"<office:content {names}><office:text>{body}</office:text></office:content>",
        )
    book = readers.read("a.odt")
    assert [(c.title, c.text) for c in book.chapters] == [("One", "One\n\nFirst one, two."), ("Two", "Two\n\nLast.")]
    assert book.notices == ("left out, because it is not text to be read aloud: 1 footnote",)


def pdf(pages: list[list[str]]) -> None:
    """Write a.pdf with these lines."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for n, lines in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {5 + 2 * n} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        shown = " ".join(f"({line}) Tj 0 -14 Td" for line in lines)
        content = f"BT /F1 12 Tf 50 750 Td {shown} ET" if lines else ""
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    data, places = "%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    data += f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(data) - len(table) - 28}\n%%EOF"
    Path("a.pdf").write_text(data, encoding="latin-1")


def test_pdf_lines_become_paragraphs_without_heads_and_page_numbers() -> None:
    pytest.importorskip("pypdf")
    text = [
        [
            "THE SEA",
            "It was a dark and stormy night, and the rain fell in tor-",
            "rents upon the old house by the sea.",
            "Nobody spoke for a long",
            "1",
        ],
        [
            "THE SEA",
            "time, until the morning came over the hills at last, and",
            "then they went.",
            "And that was all of it.",
            "2",
        ],
        ["THE SEA", "The end.", "3"],
    ]
    pdf(text)
    book = readers.read("a.pdf")
    assert "fell in torrents upon" in book.text and "for a long time, until" in book.text
    assert "THE SEA" not in book.text and not any(c.isdigit() for c in book.text)
    assert "3 running heads" in book.notices[0] and "3 page numbers" in book.notices[0]
    pdf([[], []])
    with pytest.raises(ValueError, match="a.pdf holds no text, only pictures of 2 pages"):
        readers.read("a.pdf")
    Path("a.pdf").write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(ValueError, match="a.pdf cannot be read as PDF"):
        readers.read("a.pdf")
