"""The page's text front end: numbers and abbreviations as words, pieces, and phones as the package places them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from vivavoce.config import ASSETS
from vivavoce.text.phones import PhoneChannel

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is missing")

PHONES = (
    "A ˈA ˌA I ˈI ˌI O ˈO ˌO W ˈW ˌW Y ˈY b d f h i ˈi ˌi j k l m n p s t u ˈu v w z æ ˈæ ð ŋ ɑ ˈɑ ɔ ˈɔ ə ɛ ˈɛ ˌɛ ɜ ˈɜ "
    "ɡ ɪ ˈɪ ˌɪ ɹ ɾ ʃ ʊ ˈʊ ʌ ˈʌ ˌʌ ʒ ʤ ʧ θ ᵊ ᵻ"
).split()


def run(root: Path, script: str) -> object:
    """Evaluate an expression that uses the page's modules in Node."""
    page = (root / "docs" / "demo").as_uri()
    code = f"""
        const {{split, normalise, fit}} = await import("{page}/text.js");
        const {{Phones}} = await import("{page}/phones.js");
        const {{readFileSync}} = await import("node:fs");
        console.log(JSON.stringify({script}));
    """
    command = ["node", "--input-type=module", "-e", code]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Dr. Smith paid $3.50 at 10:30 a.m.", "doctor Smith paid three dollars and fifty cents at ten thirty a m"),
        ("In 1999, 1,234 people", "In nineteen ninety-nine, one thousand two hundred thirty-four people"),
        ("It was -5 °C.", "It was minus five degrees Celsius."),
        ("the 21st of Dec. 2024", "the twenty-first of December twenty twenty-four"),
        ("3.14 & 45%", "three point one four and forty-five percent"),
        ("2 kg, £0.99, €1", "two kilograms, ninety-nine pence, one euro"),
        ("the FBI and NASA", "the F B I and NASA"),
        ("7:05pm", "seven oh five p m"),
    ],
)
def test_what_is_not_a_word_is_written_out(root: Path, text: str, words: str) -> None:
    assert run(root, f"normalise({json.dumps(text)})") == words


def test_a_text_is_cut_into_pieces_the_first_one_short(root: Path) -> None:
    text = "Mr. Hill, who had been ill for a very long time indeed, came back on Monday. Nobody spoke.\n\nThen he left!"
    pieces = run(root, f"split({json.dumps(text)}).map((piece) => piece.text)")
    assert isinstance(pieces, list)
    assert " ".join(
        pieces
    ) == "mister Hill, who had been ill for a very long time indeed, came back on Monday. Nobody " + (
        "spoke. Then he left!"
    )
    assert len(pieces[0]) <= 60 and pieces[-2:] == ["Nobody spoke.", "Then he left!"]
    assert run(root, 'split(" \\n\\n … ")') == []


def test_characters_that_the_model_lacks_become_spaces_or_plain_letters(root: Path) -> None:
    assert run(root, 'fit(normalise("Café *no*"), " abcdefghijklmnopqrstuvwxyz")') == "cafe no"


def test_phones_are_those_of_the_package(root: Path) -> None:
    text = " the quick fox's boxes jumped over hurried ladies, it's o'clock through knights' xyzzy breathes wanted. "
    folder = json.dumps(str(ASSETS / "phones"))
    ids = run(
        root,
        f'[...(await Phones.load(readFileSync({folder} + "/en.tsv.gz"), JSON.parse(readFileSync({folder} + '
        f'"/en.json")), {json.dumps(PHONES)})).ids({json.dumps(text)})].map(Number)',
    )
    assert ids == PhoneChannel(PHONES).ids(text, ["en"] * len(text)).ravel().tolist()
    assert isinstance(ids, list) and sum(i > 1 for i in ids) > 40
