"""SSML: what of it is kept to, and that everything else is refused with its place."""

from __future__ import annotations

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given, settings
from hypothesis import strategies as st

from vivavoce.text import Change, formats
from vivavoce.text.lexicon import Lexicon
from vivavoce.text.prosody import Prosody
from vivavoce.text.segments import Segment
from vivavoce.text.ssml import RATES, STRENGTHS, parse


def inside(content: str) -> list[Segment]:
    return parse(f"<speak>{content}</speak>")


def words(content: str) -> str:
    """What one element is read as: it must be literal."""
    (made,) = inside(content)
    assert made.literal
    return made.text


# --- what elements do -------------------------------------------------------------------------------------------------


def test_a_document_with_all_that_it_may_have() -> None:
    document = """<?xml version="1.0" encoding="ISO-8859-1"?>
    <!-- the encoding is that of a file, which this is not -->
    <speak version="1.1" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="en-GB"
           xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b">
      Déjà vu &amp; <![CDATA[<more>]]>
      <voice name="nash">Nash <lang xml:lang="fr-FR">Bonjour</lang> again</voice>
    </speak>"""
    assert parse(document) == [
        Segment("Déjà vu & <more> ", lang="en"),
        Segment("Nash ", lang="en", voice="nash"),
        Segment("Bonjour", lang="fr", voice="nash"),
        Segment(" again ", lang="en", voice="nash"),
    ]


def test_white_space_is_layout() -> None:
    assert inside("\n\n  One\n\n\n two\t three ") == [Segment("One two three ")]


def test_tags_of_plain_text_are_text() -> None:
    assert inside("[pause 1s] [xx]") == [Segment("[pause 1s] [xx]")]


@pytest.mark.parametrize("time", ["500ms", "0.5s", ".5s", " 500 ms "])
def test_a_break_of_some_time(time: str) -> None:
    assert inside(f'a<break time="{time}"/>b') == [Segment("a", pause=0.5), Segment("b")]


def test_breaks_of_some_strength_grow_with_it_and_the_middle_one_is_usual() -> None:
    pauses = [inside(f'a<break strength="{strength}"/>b')[0].pause for strength in STRENGTHS]
    assert pauses == sorted(set(pauses))
    assert inside("a<break/>b")[0].pause == inside('a<break strength="medium"/>b')[0].pause
    assert inside('a<break time="3s" strength="weak"/>b')[0].pause == 3.0


def test_breaks_add_up_and_those_at_the_ends_are_kept() -> None:
    assert inside('<break time="1s"/> a <break time="1s"/> <break time="2s"/>') == [
        Segment("", pause=1.0),
        Segment(" a  ", pause=3.0),
    ]


@pytest.mark.parametrize(
    ("rate", "speed"),
    [("80%", 0.8), ("0.8", 0.8), ("+10%", 1.1), ("-20%", 0.8), ("200%", 2.0), ("medium", 1.0), ("default", 1.0)],
)
def test_a_rate_is_a_speed(rate: str, speed: float) -> None:
    made = inside(f'<prosody rate="{rate}">a</prosody><break/>b')
    assert [s.text for s in made] == ["a", "b"]
    assert [s.speed for s in made] == [pytest.approx(speed), 1.0]


def test_named_rates_grow_and_rates_within_rates_multiply() -> None:
    named = [RATES[name] for name in ("x-slow", "slow", "medium", "fast", "x-fast")]
    assert named == sorted(set(named))
    made = inside('<prosody rate="50%">a<prosody rate="200%">b</prosody>c</prosody>')
    assert [s.speed for s in made] == [0.5, 1.0, 0.5]


def test_sentences_and_paragraphs_part_by_a_pause_only_between_them() -> None:
    made = inside("<p><s>One</s><s>Two.</s><s>Three</s></p><p>Four.</p> five")
    assert [s.text.strip() for s in made] == ["One", "Two.", "Three", "Four.", "five"]
    one, two, three, four, five = (s.pause for s in made)
    assert 0 == two == five < one < three == four  # after "Two." the full stop asks for the pause


def test_a_break_between_paragraphs_is_not_added_to_theirs() -> None:
    assert inside('<p>One</p><break time="3s"/><p>Two</p>')[0].pause == 3.0
    assert inside('<p>One</p><break time="100ms"/><p>Two</p>')[0].pause == inside("<p>One</p><p>Two</p>")[0].pause


def test_languages_of_paragraphs_end_with_them() -> None:
    made = inside('<p xml:lang="fr">Oui <s xml:lang="de">ja</s> oui</p> yes')
    assert [(s.text.strip(), s.lang) for s in made] == [("Oui", "fr"), ("ja", "de"), ("oui", "fr"), ("yes", None)]


def test_sub_is_read_as_its_alias() -> None:
    assert inside('The <sub alias="world wide web">WWW</sub>.') == [
        Segment("The "),
        Segment("world wide web", literal=True, changes=(Change("sub", "WWW", "world wide web"),)),
        Segment("."),
    ]


@pytest.mark.parametrize(
    ("kind", "written", "read_as"),
    [
        ("characters", "Xk9", "X K nine"),
        ("spell-out", "a-b", "A dash B"),
        ("cardinal", "1,204", "one thousand two hundred and four"),
        ("cardinal", "2014", "two thousand and fourteen"),
        ("cardinal", "-3.14", "minus three point one four"),
        ("cardinal", "+7", "plus seven"),
        ("ordinal", "21", "twenty-first"),
        ("ordinal", "3rd", "third"),
        ("ordinal", "XIV", "fourteenth"),
        ("digits", "2014", "two zero one four"),
        ("digits", "20 14", "two zero, one four"),
        ("telephone", "+1 (555) 555-0199", "plus one, five five five, five five five, zero one nine nine"),
        ("date", "2021-04-03", "April third, twenty twenty-one"),
        ("time", "10:30", "ten thirty"),
        ("time", "2pm", "two p.m."),
        ("number", "12", "twelve"),
        ("verbatim", "abc", "A B C"),
        ("vxml:phone", "555 0199", "five five five, zero one nine nine"),
        ("currency", "$3.50", "three dollars and fifty cents"),
        ("unit", "5 km", "five kilometers"),
        ("fraction", "3/4", "three quarters"),
        ("net", "a@b.com", "a at b dot com"),
        ("duration", "1h 20m", "one hour twenty minutes"),
        ("expletive", "darn", "bleep"),
    ],
)
def test_say_as(kind: str, written: str, read_as: str) -> None:
    assert words(f'<say-as interpret-as="{kind}">{written}</say-as>') == read_as


@pytest.mark.parametrize(
    ("order", "written", "read_as"),
    [
        ("mdy", "4/3/21", "April third, twenty-one"),
        ("dmy", "3.4.05", "April third, oh five"),
        ("md", "4/3", "April third"),
        ("dm", "3/4", "April third"),
        ("my", "4/2021", "April twenty twenty-one"),
        ("y", "2021", "twenty twenty-one"),
        ("yyyymmdd", "20210403", "April third, twenty twenty-one"),
        ("ddmmyyyy", "03042021", "April third, twenty twenty-one"),
    ],
)
def test_a_date_may_lack_parts(order: str, written: str, read_as: str) -> None:
    assert words(f'<say-as interpret-as="date" format="{order}">{written}</say-as>') == read_as


@pytest.mark.parametrize("order", ["hms12", "hms24", "hm"])
def test_a_time_may_have_a_format(order: str) -> None:
    assert words(f'<say-as interpret-as="time" format="{order}">2:30pm</say-as>') == "two thirty p.m."


def test_dates_and_ordinals_of_other_languages() -> None:
    assert words('<p xml:lang="es"><say-as interpret-as="date" format="dm">3/4</say-as></p>') == "tres de abril"
    assert words('<p xml:lang="es"><say-as interpret-as="ordinal">2.ª</say-as></p>') == "segunda"
    assert words('<p xml:lang="fr"><say-as interpret-as="ordinal">2e</say-as></p>') == "deuxième"


@pytest.mark.parametrize(("order", "written"), [("dmy", "3/4/2021"), ("mdy", "4.3.2021"), ("ymd", "2021 4 3")])
def test_the_order_of_a_date_is_kept_to(order: str, written: str) -> None:
    said = words(f'<say-as interpret-as="date" format="{order}">{written}</say-as>')
    assert said == "April third, twenty twenty-one"


def test_what_say_as_did_is_reported() -> None:
    (made,) = inside('<say-as interpret-as="digits"> 42\n</say-as>')
    assert made.changes == (Change("say-as digits", "42", "four two"),)


def test_the_lexicon_is_for_ssml_too() -> None:
    made = formats.parse("<speak>Ask nginx.</speak>", ssml=True, lexicon=Lexicon({"nginx": "engine ex"}))
    assert [s.text for s in made] == ["Ask ", "engine ex", "."]


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "said"),
    [
        ("<foo/>", "<foo>: unknown element"),
        ("<prosodi/>", "did you mean prosody?"),
        ("<audio>a</audio>", "supported: speak"),
        ('<emphasis level="huge">a</emphasis>', "level is 'huge'; it must be one of strong, moderate, none"),
        ('<emphasis level="reduced">a</emphasis>', "level is 'reduced', which no model can follow"),
        ("<speak/>", "outermost"),
        ('<prosody pitch="+20Hz">a</prosody>', "pitch is '+20Hz'; it must be semitones such as +2st, +10%"),
        ('<prosody range="9">a</prosody>', "range is '9'; it must be from 0.3 to 2"),
        ('<prosody volume="+99dB">a</prosody>', "volume is '+99dB'; it must be from -12 to 8 dB"),
        ('<prosody pitch="-100%">a</prosody>', "pitch is '-100%'; it must be from -6 to 6 semitones"),
        ('<prosody range="x" volume="y" rate="z" pitch="w">a</prosody>', "range is 'x'"),
        ('<prosody volume="40">a</prosody>', "volume is '40'; it must be dB such as +6dB"),
        ('<prosody contour="(0%,+20Hz)">a</prosody>', "unknown attribute contour"),
        ('<voice nam="nash">a</voice>', "did you mean name?"),
        ("<prosody>a</prosody>", "one of rate, pitch, range, volume is missing"),
        ("<sub>a</sub>", "attribute alias is missing"),
        ('<voice name=" ">a</voice>', "attribute name is missing or empty"),
        ('<voice name="../x">a</voice>', "not a voice name"),
        ('<lang xml:lang="xx">a</lang>', "'xx' is not a language"),
        ('<lang xml:lang="">a</lang>', "missing or empty"),
        ('<p xml:lang="xx">a</p>', "'xx' is not a language"),
        ('<break time="500"/>', "'500' is not a duration"),
        ('<break time="90s"/>', "at most 60s"),
        ('<break strength="none"/>', "cannot be removed"),
        ('<break strength="huge"/>', "'huge'"),
        ("<break>a</break>", "contains text"),
        ("<break><p/></break>", "cannot contain elements"),
        ('<prosody rate="quick">a</prosody>', "'quick'"),
        ('<prosody rate="1.2.3">a</prosody>', "not a number"),
        ('<prosody rate="900%">a</prosody>', "0.25"),
        ('<prosody rate="-100%">a</prosody>', "0.25"),
        ('<sub alias="route 66">a</sub>', "'6'"),
        ('<sub alias="x"><p>a</p></sub>', "cannot contain elements"),
        ('<say-as interpret-as="cardinal"><p/></say-as>', "cannot contain elements"),
        ('<say-as interpret-as="galaxy">1</say-as>', "'galaxy'"),
        ('<say-as interpret-as="cardinal">abc</say-as>', "'abc' is not a number"),
        ('<say-as interpret-as="cardinal"></say-as>', "it is empty"),
        ('<say-as interpret-as="characters"> </say-as>', "it is empty"),
        ('<say-as interpret-as="ordinal">abc</say-as>', "'abc' is not an ordinal"),
        ('<say-as interpret-as="digits">4a</say-as>', "not a sequence of digits"),
        ('<say-as interpret-as="telephone">call</say-as>', "not a telephone number"),
        ('<say-as interpret-as="time">noon</say-as>', "not a time"),
        ('<say-as interpret-as="cardinal" format="dmy">4</say-as>', "only date, time and telephone have a format"),
        ('<say-as interpret-as="date" format="dmy">13/13/2021</say-as>', "not a date"),
        ('<say-as interpret-as="date" format="xyz">1/1/2021</say-as>', "'xyz'"),
    ],
)
def test_what_cannot_be_kept_to_is_refused_with_its_place(element: str, said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        parse(f"<speak>\n  é {element}</speak>", strict=True)
    message = str(refusal.value)
    column = 5 + (element.index("<p") if "cannot contain" in said else 0)
    assert message.startswith(f"SSML, line 2, column {column}: <")
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "document",
    [
        "",
        "plain text",
        "<speak>",
        "<speak><p></speak>",
        "<speak>&nbsp;</speak>",
        "<speak/><speak/>",
        "<speak>\x00</speak>",
    ],
)
def test_what_is_no_xml_is_refused_with_its_place(document: str) -> None:
    with pytest.raises(ValueError, match=r"^SSML, line \d+, column \d+: "):
        parse(document)


@pytest.mark.parametrize(
    ("content", "text", "reported"),
    [
        ("<emphasis level='huge'>very</emphasis> good", "very good", ['<emphasis level="huge">']),
        ("<foo>a <bar>b</bar></foo>", "a b", ["<foo>", "<bar>"]),
        ("<prosody pitch='tall' volume='loud'>a</prosody>", "a", ['<prosody pitch="tall">']),
        ("<emphasis level='reduced'>a</emphasis>", "a", ['<emphasis level="reduced">']),
        ("<prosody rate='quick'>a</prosody>", "a", ['<prosody rate="quick">']),
        ("<voice gender='female'>a</voice>", "a", ['<voice gender="female">']),
        ("<voice name='../x'>a</voice>", "a", ['<voice name="../x">']),
        ("<mark name='here'/>a", "a", ["<mark>"]),
        ("<audio src='x.wav'>a bark</audio>", "a bark", ["<audio>"]),
        ("<phoneme alphabet='ipa' ph='x'>tomato</phoneme>", "tomato", ['<phoneme ph="x">']),
        ("<amazon:effect name='whispered'>a</amazon:effect>", "a", ["<amazon:effect>"]),
        ("<mstts:express-as style='sad'>a</mstts:express-as>", "a", ["<mstts:express-as>"]),
        ("<say-as interpret-as='galaxy'>1</say-as> b", "1 b", ['<say-as interpret-as="galaxy">']),
        ("<say-as interpret-as='cardinal'>abc</say-as>", "abc", ['<say-as interpret-as="cardinal">']),
        ("<say-as interpret-as='date' detail='1'>2021-04-03</say-as>", "April third, twenty twenty-one",
         ['<say-as detail="1">']),
        ("<sub alias='route 66'>R66</sub>", "R66", ['<sub alias="route 66">']),
        ("<lang xml:lang='xx'>a</lang>", "a", ['<lang xml:lang="xx">']),
        ("<metadata>not this</metadata>a", "a", ["<metadata>"]),
        ("<break>a</break>", "a", ["<break>"]),
        ("<speak>a</speak>", "a", ["<speak>"]),
        ("<w role='x'>lead</w> pipe", "lead pipe", ["<w>"]),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_reported_and_its_text_read(content: str, text: str, reported: list[str]) -> None:
    made = inside(content)
    assert " ".join("".join(s.text for s in made).split()) == text
    assert [change.before for s in made for change in s.changes if change.rule == "ssml"] == reported


@pytest.mark.parametrize(
    ("attributes", "pause"),
    [('time="90s"', 60.0), ('time="500"', 0.0), ('strength="none"', 0.0), ('time="90s" strength="weak"', 60.0)],
)
def test_a_pause_that_cannot_be_followed_is_the_nearest_one(attributes: str, pause: float) -> None:
    assert inside(f"a<break {attributes}/>b")[0].pause == pause


def test_another_root_is_refused() -> None:
    with pytest.raises(ValueError, match="speak must be the outermost"):
        parse("<p>One</p>")


BOMB = '<!DOCTYPE speak [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><speak>&b;</speak>'


@pytest.mark.parametrize(
    "document",
    [
        BOMB,
        '<!DOCTYPE speak [<!ENTITY secret SYSTEM "file:///etc/passwd">]><speak>&secret;</speak>',
        '<!DOCTYPE speak SYSTEM "http://example.org/speak.dtd"><speak>a</speak>',
        "<!DOCTYPE speak><speak>a</speak>",
    ],
)
def test_dtds_and_entities_are_refused(document: str) -> None:
    with pytest.raises(ValueError, match="are not allowed") as refusal:
        parse(document)
    assert "\n" not in str(refusal.value)


def test_a_document_of_great_depth_is_read() -> None:
    assert inside("<p>" * 20_000 + "deep" + "</p>" * 20_000) == [Segment("deep")]


PARTS = [
    "<speak>",
    "</speak>",
    "<p>",
    "</p>",
    "<s>",
    "</s>",
    "<break/>",
    '<prosody rate="slow">',
    "</prosody>",
    "a",
    " ",
]
PARTS += ['<say-as interpret-as="digits">', "</say-as>", '<sub alias="x">', "</sub>", "9", "&amp;", "&", "\ud800", "."]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PARTS), max_size=12).map("".join)))
@example("\ud800")
@example("<speak>\ufffe</speak>")
def test_any_text_is_read_or_refused(text: str) -> None:
    for document in (text, f"<speak>{text}</speak>"):
        try:
            made = parse(document)
        except ValueError as error:
            assert str(error).startswith("SSML")
        else:
            assert all(s.text.strip() for s in made[1:])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_characters="<&>\x7f")))
def test_text_is_kept_but_for_its_layout(text: str) -> None:
    assert "".join(s.text for s in inside(text)).split() == text.split()


def test_prosody_and_emphasis_change_what_is_inside_them() -> None:
    made = parse(
        "<speak><prosody pitch='+2st' volume='-3dB'>a "
        "<prosody pitch='low' range='+30%' rate='80%'>b</prosody></prosody>"
        "<emphasis level='strong'>c</emphasis> <emphasis>d</emphasis><prosody pitch='+12%'>e</prosody></speak>"
    )
    found = {segment.text.strip(): segment for segment in made}
    assert found["a"].prosody == Prosody(pitch=2, energy=-3)
    assert found["b"].prosody == Prosody(pitch=0, range=1.3, energy=-3) and found["b"].speed == 0.8
    assert found["c"].prosody == Prosody(stress=1) and found["d"].prosody == Prosody(stress=0.6)
    assert found["e"].prosody.pitch == pytest.approx(1.96, abs=0.01)
