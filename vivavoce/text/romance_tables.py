"""Words of Spanish, French, Italian and Portuguese that the romance rules need. To add a word, add it here.

To add a language that forms its numbers alike, add a `Language` to `LANGUAGES`.
"""

from __future__ import annotations

from dataclasses import dataclass

Forms = tuple[str, str, str]  # singular, plural, and "m" or "f", the gender that its numbers agree with


@dataclass(frozen=True)
class Language:
    """The words of a language. Keys are as written, values as spoken."""

    code: str
    point: str  # how "," is read in a number
    dot: str  # how "." is read in a version number
    minus: str
    to: str  # between the ends of a range
    joint: str  # between euros and cents
    over: str  # between the parts of a fraction
    marks: str  # punctuation to keep besides PUNCTUATION
    feminine: str  # a pattern of nouns that are feminine by their form
    masculine: str  # a pattern of exceptions to `feminine`
    no_noun: str  # a pattern of words that may follow a number and are no nouns
    ordinals: tuple[str, str]  # patterns of the suffixes of ordinals, masculine and feminine
    months: str
    date: str  # with {day}, {month} and {year}
    hours: tuple[str, str]  # between hours and minutes, and after full hours
    numbered: str  # a pattern of words before a Roman numeral
    titles: dict[str, str]  # abbreviations; one of several words may lack its spaces
    before_number: dict[str, str]  # abbreviations before a number
    regnal: str  # a pattern of names before a Roman numeral that is an ordinal
    highest_ordinal: int  # the highest of these; higher ones are cardinals
    half_days: tuple[str, str, str, str]  # 1 to 11 a.m., 12 a.m., 12 to 7 p.m., 8 to 11 p.m.; () if not used
    symbols: dict[str, str]
    halves: tuple[str, str]  # a half of a masculine and of a feminine noun
    fractions: str  # the parts from a half to a tenth
    noon: tuple[str, str]  # 12 p.m. and 12 a.m.
    version: str
    currencies: dict[str, tuple[Forms, Forms]]
    units: dict[str, Forms]
    scales: dict[str, tuple[str, str]]  # abbreviations of large numbers, singular and plural
    big: str  # a pattern of the words of large numbers before which "de" follows: "2 millones de euros"
    of: str  # that "de"
    codes: dict[str, Forms]  # codes of currencies
    by: str  # between the sides of "10 x 15"
    century: str  # a pattern of abbreviations of "century", before or after the numeral
    saints: str  # a pattern of names after "S."; "": none
    ranked: str  # a pattern of nouns after a Roman numeral that is an ordinal


def _m(one: str, many: str) -> Forms:
    return one, many, "m"


def _f(one: str, many: str) -> Forms:
    return one, many, "f"


def _by_name(listed: str) -> dict[str, str]:
    """Return a table: "a b, c d = e f" is {"a": "b", "c d": "e f"}."""
    entries = (entry.strip() for entry in listed.split(","))
    parted = (entry.partition(" = " if " = " in entry else " ") for entry in entries)
    return {key: value for key, _, value in parted}


SPANISH = Language(
    saints=r"Juan|Pedro|Pablo|Antonio|Sebastián|Francisco|Ignacio|José|Martín|Fernando|Lorenzo|Agustín",
    scales={"k": ("mil", "mil"), "K": ("mil", "mil"), "M": ("millón", "millones"), "mill.": ("millón", "millones"),
            "mM": ("mil millones", "mil millones"), "MM": ("millones", "millones")},
    big=r"mil\smillones|millón|millones|billón|billones|mil(?!\sm)", of="de", by="por", century=r"[Ss]\.|[Ss]s\.",
    codes={"USD": _m("dólar estadounidense", "dólares estadounidenses"), "EUR": _m("euro", "euros"),
           "MXN": _m("peso mexicano", "pesos mexicanos"), "ARS": _m("peso argentino", "pesos argentinos"),
           "COP": _m("peso colombiano", "pesos colombianos"), "CLP": _m("peso chileno", "pesos chilenos"),
           "PEN": _m("sol", "soles"), "GBP": _f("libra", "libras"), "US$": _m("dólar", "dólares")},
    ranked=r"Guerra|República|Congreso|Edición|Feria|Jornadas?|Festival|Concurso|Premio|Encuentro|Semana|Cumbre|Bienal",
    halves=("medio", "media"), version="versión", noon=("doce del mediodía", "doce de la noche"),
    fractions="medio tercio cuarto quinto sexto séptimo octavo noveno décimo",
    code="es", point="coma", dot="punto", minus="menos", to="a", joint="con", over="sobre", marks="¿¡",
    feminine=r"(?:as?|ción|ciones|sión|siones|dad|dades|tud|tudes|vez|veces|noches?|tardes?|mujer(?:es)?|manos?|clases?|"
             r"calles?|partes?|llaves?|nubes?|leyes|ley|flor(?:es)?|torres?|fuentes?|razón|razones|imagen|imágenes)$",
    masculine=r"(?:día|problema|programa|sistema|tema|mapa|planeta|idioma|clima|poema|drama|cura|guardia)s?",
    no_noun=r"y|o|u|a|de|del|en|con|por|para|que|es|son|era|fue|la|el|los|las|ha|más|menos|como|según|se|no|al|hasta|ya",
    ordinals=(r"\.?[º°]|\.?er|\.?o|r[o0]|do|to|mo|vo|no|avo", r"\.?ª|\.?a|ra|da|ta|ma|va|na|ava"),
    months="enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    date="{day} de {month} de {year}", hours=("y", "en punto"),
    numbered="[Ss]iglo|[Cc]apítulo|[Tt]omo|[Vv]olumen|[Aa]cto|[Ee]scena|[Tt]ítulo|[Aa]nexo",
    titles=_by_name("Sr. señor, Sra. señora, Srta. señorita, Dr. doctor, Dra. doctora, D. don, Ud. usted, Uds. ustedes,"
                    "EE. UU. = Estados Unidos, EEUU Estados Unidos, p. ej. = por ejemplo, av. avenida, Av. avenida,"
                    "Avda. avenida, aprox. aproximadamente, C/ calle, Pza. plaza, Vd. usted, Vds. ustedes,"
                    "Prof. profesor,"
                    "Profa. profesora, Lic. licenciado, Ing. ingeniero, Gral. general, Cía. compañía,"
                    "Dpto. departamento,"
                    "dpto. departamento, a. C. = antes de Cristo, d. C. = después de Cristo, etc. etcétera,"
                    "S. A. = sociedad anónima, S. L. = sociedad limitada, Ntra. nuestra, Dña. doña, D.ª doña,"
                    "S. M. = Su Majestad, CC. OO. = Comisiones Obreras,"
                    "FF. AA. = Fuerzas Armadas, RR. HH. = recursos humanos, JJ. OO. = Juegos Olímpicos,"
                    "FF. CC. = ferrocarriles, CC. AA. = comunidades autónomas, P. D. = posdata, EE UU = Estados Unidos,"
                    "s/n sin número, Sto. santo, Sta. santa, izq. izquierda, dcha. derecha, admón. administración,"
                    "q. e. p. d. = que en paz descanse, c/u cada uno, vs. contra, máx. máximo, mín. mínimo"),
    before_number=_by_name("núm. número, n.º número, nº número, N.º número, n.° número, N° número, pág. página,"
                           "págs. páginas, p. página, pp. páginas, cap. capítulo, caps. capítulos, art. artículo,"
                           "arts. artículos, vol. volumen, fig. figura, tel. teléfono, Tel. teléfono, ed. edición,"
                           "Cap. capítulo, Art. artículo, Vol. volumen, Fig. figura, n° número, Km. kilómetro,"
                      "km. kilómetro, sec. sección"),
    regnal="Felipe|Carlos|Alfonso|Fernando|Isabel|Enrique|Juan|Pedro|Sancho|Ramiro|Jaime|Luis|Pablo|Pío|Benedicto|"
           "Juan Pablo|Jorge|Eduardo|Ricardo|Guillermo|Napoleón|Catalina|María|Francisco|Nicolás|Alejandro|León",
    highest_ordinal=10,
    half_days=("de la mañana", "de la noche", "de la tarde", "de la noche"),
    symbols=_by_name("% por ciento, ‰ por mil, & y, @ arroba, + más, = igual a, × por, ÷ entre, ± más menos, ° grados,"
                     "/ barra, # almohadilla, . punto, - guion, _ guion bajo, ² al cuadrado, ³ al cubo,"
                     "≈ aproximadamente, ? interrogación, : dos puntos, € euro, $ dólar, £ libra, § sección"),
    currencies={
        "€": (_m("euro", "euros"), _m("céntimo", "céntimos")), "$": (_m("dólar", "dólares"), _m("centavo", "centavos")),
        "£": (_f("libra", "libras"), _m("penique", "peniques")), "¥": (_m("yen", "yenes"), _m("sen", "sen")),
    },
    units={
        "km": _m("kilómetro", "kilómetros"), "m": _m("metro", "metros"), "cm": _m("centímetro", "centímetros"),
        "mm": _m("milímetro", "milímetros"), "kg": _m("kilogramo", "kilogramos"), "g": _m("gramo", "gramos"),
        "mg": _m("miligramo", "miligramos"), "l": _m("litro", "litros"), "L": _m("litro", "litros"),
        "ml": _m("mililitro", "mililitros"), "t": _f("tonelada", "toneladas"), "ha": _f("hectárea", "hectáreas"),
        "h": _f("hora", "horas"), "min": _m("minuto", "minutos"), "s": _m("segundo", "segundos"),
        "km/h": _m("kilómetro por hora", "kilómetros por hora"), "m/s": _m("metro por segundo", "metros por segundo"),
        "°C": _m("grado Celsius", "grados Celsius"), "°": _m("grado", "grados"), "W": _m("vatio", "vatios"),
        "kW": _m("kilovatio", "kilovatios"), "kWh": _m("kilovatio hora", "kilovatios hora"),
        "V": _m("voltio", "voltios"),
        "GB": _m("gigabyte", "gigabytes"), "MB": _m("megabyte", "megabytes"), "Hz": _m("hercio", "hercios"),
        "m²": _m("metro cuadrado", "metros cuadrados"), "cm²": _m("centímetro cuadrado", "centímetros cuadrados"),
        "cm³": _m("centímetro cúbico", "centímetros cúbicos"), "kcal": _f("kilocaloría", "kilocalorías"),
        "cl": _m("centilitro", "centilitros"), "TB": _m("terabyte", "terabytes"), "KB": _m("kilobyte", "kilobytes"),
        "kHz": _m("kilohercio", "kilohercios"), "MHz": _m("megahercio", "megahercios"),
        "MW": _m("megavatio", "megavatios"),
        "Mbps": _m("megabit por segundo", "megabits por segundo"), "dB": _m("decibelio", "decibelios"),
        "km²": _m("kilómetro cuadrado", "kilómetros cuadrados"),
        "m³": _m("metro cúbico", "metros cúbicos"),
    },
)  # fmt: skip

FRENCH = Language(
    saints=r"",
    scales={"k": ("mille", "mille"), "K": ("mille", "mille"), "M": ("million", "millions"),
            "Md": ("milliard", "milliards"), "Mds": ("milliard", "milliards"), "Mrd": ("milliard", "milliards"),
            "Mio": ("million", "millions"), "mio": ("million", "millions")},
    big=r"millions?|milliards?|billions?", of="de", by="par", century=r"s\.",
    codes={"USD": _m("dollar américain", "dollars américains"), "EUR": _m("euro", "euros"),
           "CAD": _m("dollar canadien", "dollars canadiens"), "CHF": _m("franc suisse", "francs suisses"),
           "GBP": _f("livre", "livres"), "US$": _m("dollar américain", "dollars américains"),
           "FCFA": _m("franc CFA", "francs CFA")},
    ranked=r"République|Empire|Guerre|Reich|Internationale|édition|arrondissement|millénaire|dynastie|Congrès|Plan",
    halves=("un demi", "une demi"), version="version", noon=("midi", "minuit"),
    fractions="demi tiers quart cinquième sixième septième huitième neuvième dixième",
    code="fr", point="virgule", dot="point", minus="moins", to="à", joint="et", over="sur", marks="",
    feminine=r"(?:[ts]ions?|ées?|ettes?|ances?|ences?|ités?|ures?|euses?|ières?|esses?|heures?|minutes?|secondes?|semaines?|"
             r"pages?|personnes?|fois|femmes?|filles?|maisons?|villes?|lignes?|tonnes?|nuits?|rues?|chaises?|tables?|voitures?|pommes?|bouteilles?|étoiles?|pièces?|photos?|fleurs?|mains?|"
             r"clés?|portes?|places?|tasses?|tranches?|cuillères?|semaines?|années?|journées?|voix|fins?)$",
    masculine=r"(?:musée|lycée|trophée|silence|mètre|kilomètre)s?",
    no_noun=r"et|ou|à|de|du|des|en|avec|par|pour|que|est|sont|était|la|le|les|a|plus|moins|comme|se|ne|au|aux|jusqu",
    ordinals=(r"er|ers|e|ème|es|èmes|nd", r"re|ère|nde"),
    months="janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    date="{day} {month} {year}", hours=("heures", "heures"),
    numbered="[Cc]hapitre|[Tt]ome|[Vv]olume|[Aa]cte|[Ss]cène|[Tt]itre|[Aa]nnexe|[Pp]artie|[Ll]ivre|[Pp]hase|[Tt]ype",
    titles=_by_name("M. monsieur, MM. messieurs, Mme madame, Mmes mesdames, Mlle mademoiselle, Dr docteur,"
                    "Pr professeur, Me maître, St saint, Ste sainte, av. avenue, bd boulevard, p. ex. = par exemple,"
                    "etc. et cetera, env. environ, Mgr monseigneur, Vve veuve, Sté société, Cie compagnie,"
                    "av. J.-C. = avant Jésus-Christ, apr. J.-C. = après Jésus-Christ, c.-à-d. c'est-à-dire,"
                    "s.v.p. s'il vous plaît, SVP s'il vous plaît, max. maximum, min. minimum, dép. département,"
                    "boul. boulevard, pl. place, pce pièce, qqn quelqu'un, qqch. quelque chose, bcp beaucoup,"
                    "tél. téléphone,"
                    "ap. J.-C. = après Jésus-Christ, c-à-d c'est-à-dire, svp s'il vous plaît, S.V.P. s'il vous plaît,"
                    "P.-S. post-scriptum, vs contre, par ex. = par exemple,"
                    "éd. édition, vs. contre, ex. exemple"),
    before_number=_by_name("n° numéro, N° numéro, nº numéro, no. numéro, p. page, pp. pages, chap. chapitre,"
                           "art. article,"
                           "vol. volume, fig. figure, tél. téléphone, Tél. téléphone, t. tome, Chap. chapitre,"
                           "Art. article, Fig. figure, al. alinéa, § paragraphe"),
    regnal="François|Henri|Charles|Napoléon|Louis|Philippe|Jean|Jean-Paul|Pie|Benoît|Élisabeth|Elisabeth|Guillaume|"
           "Édouard|Georges|Nicolas|Alexandre|Catherine|Frédéric|Léopold|Albert|Baudouin",
    highest_ordinal=1,
    half_days=("du matin", "du matin", "de l'après-midi", "du soir"),
    symbols=_by_name("% pour cent, ‰ pour mille, & et, @ arobase, + plus, = égale, × fois, ÷ divisé par,"
                     "± plus ou moins, ° degrés, / barre oblique, # dièse, . point, - tiret, _ tiret bas, ² au carré,"
                     "³ au cube, ≈ environ, ? point d'interrogation, : deux-points, € euro, $ dollar, £ livre,"
                     "§ paragraphe"),
    currencies={
        "€": (_m("euro", "euros"), _m("centime", "centimes")), "$": (_m("dollar", "dollars"), _m("cent", "cents")),
        "£": (_f("livre", "livres"), _m("penny", "pence")), "¥": (_m("yen", "yens"), _m("sen", "sen")),
        "CHF": (_m("franc suisse", "francs suisses"), _m("centime", "centimes")),
    },
    units={
        "km": _m("kilomètre", "kilomètres"), "m": _m("mètre", "mètres"), "cm": _m("centimètre", "centimètres"),
        "mm": _m("millimètre", "millimètres"), "kg": _m("kilogramme", "kilogrammes"), "g": _m("gramme", "grammes"),
        "mg": _m("milligramme", "milligrammes"), "l": _m("litre", "litres"), "L": _m("litre", "litres"),
        "ml": _m("millilitre", "millilitres"), "t": _f("tonne", "tonnes"), "ha": _m("hectare", "hectares"),
        "h": _f("heure", "heures"), "min": _f("minute", "minutes"), "s": _f("seconde", "secondes"),
        "km/h": _m("kilomètre heure", "kilomètres heure"), "m/s": _m("mètre par seconde", "mètres par seconde"),
        "°C": _m("degré Celsius", "degrés Celsius"), "°": _m("degré", "degrés"), "W": _m("watt", "watts"),
        "kW": _m("kilowatt", "kilowatts"), "kWh": _m("kilowattheure", "kilowattheures"), "V": _m("volt", "volts"),
        "Go": _m("gigaoctet", "gigaoctets"), "Mo": _m("mégaoctet", "mégaoctets"), "Hz": _m("hertz", "hertz"),
        "m²": _m("mètre carré", "mètres carrés"), "cm²": _m("centimètre carré", "centimètres carrés"),
        "cm³": _m("centimètre cube", "centimètres cubes"), "kcal": _f("kilocalorie", "kilocalories"),
        "cl": _m("centilitre", "centilitres"), "To": _m("téraoctet", "téraoctets"), "Ko": _m("kilooctet", "kilooctets"),
        "kHz": _m("kilohertz", "kilohertz"), "MHz": _m("mégahertz", "mégahertz"), "MW": _m("mégawatt", "mégawatts"),
        "Mbit/s": _m("mégabit par seconde", "mégabits par seconde"), "dB": _m("décibel", "décibels"),
        "km²": _m("kilomètre carré", "kilomètres carrés"),
        "m³": _m("mètre cube", "mètres cubes"),
    },
)  # fmt: skip

ITALIAN = Language(
    saints=r"Pietro|Paolo|Giovanni|Marco|Maria|Giuseppe|Francesco|Stefano|Lorenzo|Martino|Nicola|Luca|Giorgio|Michele|Pio|"
           r"Carlo|Caterina|Chiara|Lucia|Rita|Siro|Gennaro|Marino|Vitale|Croce",
    scales={"k": ("mila", "mila"), "K": ("mila", "mila"), "M": ("milione", "milioni"), "mln": ("milione", "milioni"),
            "mln.": ("milione", "milioni"), "mld": ("miliardo", "miliardi"), "mld.": ("miliardo", "miliardi"),
            "mrd": ("miliardo", "miliardi")},
    big=r"milion[ei]|miliard[oi]", of="di", by="per", century=r"[Ss]ec\.",
    codes={"USD": _m("dollaro americano", "dollari americani"), "EUR": _m("euro", "euro"),
           "CHF": _m("franco svizzero", "franchi svizzeri"), "GBP": _f("sterlina", "sterline"),
           "US$": _m("dollaro americano", "dollari americani")},
    ranked=r"[Gg]uerra|[Rr]epubblica|[Cc]ongresso|edizione|[Mm]unicipio|[Rr]eich|Internazionale|millennio|dinastia",
    halves=("mezzo", "mezza"), version="versione", noon=("mezzogiorno", "mezzanotte"),
    fractions="mezzo terzo quarto quinto sesto settimo ottavo nono decimo",
    code="it", point="virgola", dot="punto", minus="meno", to="a", joint="e", over="su", marks="",
    feminine=r"(?:a|zione|sione|tà|trice|mano|notte|chiave|volta|luce|voce|parte|classe|legge|lezione|canzone)$",
    masculine=r"problema|programma|sistema|tema|clima|pianeta|poeta|dramma|panorama",
    no_noun=r"e|o|a|di|del|della|in|con|per|che|è|sono|era|la|il|lo|i|gli|le|ha|più|meno|come|si|non|al|da|fino|su",
    ordinals=(r"\.?[º°]|o", r"\.?ª|a"),
    months="gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    date="{day} {month} {year}", hours=("e", "in punto"),
    numbered="[Cc]apitolo|[Tt]omo|[Vv]olume|[Aa]tto|[Ss]cena|[Tt]itolo|[Aa]llegato",
    titles=_by_name("Sig. signor, Sig.ra signora, Sig.na signorina, Dott. dottor, Dott.ssa dottoressa, Dr. dottor,"
                    "Prof. professor, Prof.ssa professoressa, Ing. ingegner, Avv. avvocato, ecc. eccetera,"
                    "p. es. = per esempio, ad es. = ad esempio, ca. circa, a. C. = avanti Cristo, d. C. = dopo Cristo,"
                    "Arch. architetto, Geom. geometra, Rag. ragionier, On. onorevole, Sen. senatore, Spett. spettabile,"
                    "Egr. egregio, Gent. gentile, Dott.sse dottoresse, Sigg. signori, S. p. A. = società per azioni,"
                    "S. r. l. = società a responsabilità limitata, V.le viale, C.so corso, P.za piazza, P.zza piazza,"
                    "SS. santissima, Spett.le spettabile, etc. eccetera, P. S. = post scriptum, c/o presso,"
                    "max. massimo, min. minimo, tel. telefono, vs contro, vs. contro"),
    before_number=_by_name("n. numero, n° numero, nr. numero, N. numero, N° numero, pag. pagina, pagg. pagine,"
                           "p. pagina,"
                           "pp. pagine, cap. capitolo, capp. capitoli, art. articolo, artt. articoli, vol. volume,"
                           "fig. figura, tel. telefono, Tel. telefono, Cap. capitolo, Art. articolo, Fig. figura,"
                           "par. paragrafo, ed. edizione"),
    regnal="Vittorio Emanuele|Umberto|Carlo|Carlo Alberto|Luigi|Enrico|Filippo|Federico|Ferdinando|Francesco|Giovanni|"
           "Giovanni Paolo|Paolo|Pio|Benedetto|Leone|Gregorio|Elisabetta|Giorgio|Edoardo|Napoleone|Nicola|Caterina|"
           "Alessandro|Guglielmo|Innocenzo|Clemente|Urbano|Sisto|Giulio",
    highest_ordinal=100,
    half_days=("di mattina", "di notte", "del pomeriggio", "di sera"),
    symbols=_by_name("% per cento, ‰ per mille, & e, @ chiocciola, + più, = uguale a, × per, ÷ diviso, ± più o meno,"
                     "° gradi, / barra, # cancelletto, . punto, - trattino, _ trattino basso, ² al quadrato, ³ al cubo,"
                     "≈ circa, ? punto interrogativo, : due punti, € euro, $ dollaro, £ sterlina, § paragrafo"),
    currencies={
        "€": (_m("euro", "euro"), _m("centesimo", "centesimi")),
        "$": (_m("dollaro", "dollari"), _m("centesimo", "centesimi")),
        "£": (_f("sterlina", "sterline"), _m("penny", "pence")), "¥": (_m("yen", "yen"), _m("sen", "sen")),
    },
    units={
        "km": _m("chilometro", "chilometri"), "m": _m("metro", "metri"), "cm": _m("centimetro", "centimetri"),
        "mm": _m("millimetro", "millimetri"), "kg": _m("chilogrammo", "chilogrammi"), "g": _m("grammo", "grammi"),
        "mg": _m("milligrammo", "milligrammi"), "l": _m("litro", "litri"), "L": _m("litro", "litri"),
        "ml": _m("millilitro", "millilitri"), "t": _f("tonnellata", "tonnellate"), "ha": _m("ettaro", "ettari"),
        "h": _f("ora", "ore"), "min": _m("minuto", "minuti"), "s": _m("secondo", "secondi"),
        "km/h": _m("chilometro orario", "chilometri orari"), "m/s": _m("metro al secondo", "metri al secondo"),
        "°C": _m("grado Celsius", "gradi Celsius"), "°": _m("grado", "gradi"), "W": _m("watt", "watt"),
        "kW": _m("chilowatt", "chilowatt"), "kWh": _m("chilowattora", "chilowattora"), "V": _m("volt", "volt"),
        "GB": _m("gigabyte", "gigabyte"), "MB": _m("megabyte", "megabyte"), "Hz": _m("hertz", "hertz"),
        "m²": _m("metro quadrato", "metri quadrati"), "cm²": _m("centimetro quadrato", "centimetri quadrati"),
        "cm³": _m("centimetro cubo", "centimetri cubi"), "kcal": _f("chilocaloria", "chilocalorie"),
        "cl": _m("centilitro", "centilitri"), "TB": _m("terabyte", "terabyte"), "KB": _m("kilobyte", "kilobyte"),
        "kHz": _m("chilohertz", "chilohertz"), "MHz": _m("megahertz", "megahertz"), "MW": _m("megawatt", "megawatt"),
        "Mbps": _m("megabit al secondo", "megabit al secondo"), "dB": _m("decibel", "decibel"),
        "km²": _m("chilometro quadrato", "chilometri quadrati"),
        "m³": _m("metro cubo", "metri cubi"),
    },
)  # fmt: skip

PORTUGUESE = Language(
    saints=r"Paulo|João|Pedro|Jorge|Bento|José|Tomé|Sebastião|Vicente|Francisco|Miguel|António|Antônio|Maria",
    scales={"k": ("mil", "mil"), "K": ("mil", "mil"), "M": ("milhão", "milhões"), "mi": ("milhão", "milhões"),
            "mi.": ("milhão", "milhões"), "bi": ("bilhão", "bilhões"), "bi.": ("bilhão", "bilhões"),
            "tri": ("trilhão", "trilhões")},
    big=r"mil\smilhões|milh(?:ão|ões)|bilh(?:ão|ões)|biliões|trilh(?:ão|ões)|mil(?!\sm)",
    of="de", by="por", century=r"[Ss]éc\.",
    codes={"USD": _m("dólar americano", "dólares americanos"), "EUR": _m("euro", "euros"),
           "BRL": _m("real", "reais"), "GBP": _f("libra", "libras"), "US$": _m("dólar", "dólares")},
    ranked=r"Guerra|República|Congresso|Edição|Encontro|Festival|Semana|Reinado|Império|Dinastia|Bienal|Jornada",
    halves=("meio", "meia"), version="versão", noon=("meio-dia", "meia-noite"),
    fractions="meio terço quarto quinto sexto sétimo oitavo nono décimo",
    code="pt", point="vírgula", dot="ponto", minus="menos", to="a", joint="e", over="sobre", marks="",
    feminine=r"(?:as?|[çs]ão|[çs]ões|dades?|agem|agens|mulher(?:es)?|noites?|tardes?|vez|vezes|mãos?|colher(?:es)?|flor(?:es)?|luz|luzes|partes?|"
             r"classes?|chaves?|leis?|vozes|voz|[^m]ãs?)$",
    masculine=r"(?:dia|problema|programa|sistema|tema|mapa|planeta|idioma|clima|poema|drama)s?|irmãos?",
    no_noun=r"e|ou|a|de|do|da|dos|das|em|no|na|com|por|para|que|é|são|era|foi|o|os|as|há|mais|menos|como|se|não|ao|até",
    ordinals=(r"\.?[º°]|\.?o", r"\.?ª|\.?a"),
    months="janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    date="{day} de {month} de {year}", hours=("e", "horas"),
    numbered="[Ss]éculo|[Cc]apítulo|[Tt]omo|[Vv]olume|[Aa]to|[Cc]ena|[Tt]ítulo|[Aa]nexo",
    titles=_by_name("Sr. senhor, Sra. senhora, Srta. senhorita, Dr. doutor, Dra. doutora, Prof. professor,"
                    "Profa. professora, D. dom, p. ex. = por exemplo, av. avenida, Av. Avenida,"
                    "aprox. aproximadamente, a. C. = antes de Cristo, d. C. = depois de Cristo, etc. et cetera,"
                    "Exmo. excelentíssimo, Ilmo. ilustríssimo, Eng. engenheiro, Ltda. limitada, Cia. companhia,"
                    "S. A. = sociedade anônima, Pça. praça, Trav. travessa, R. rua, Gal. general, Cel. coronel,"
                    "V. Exa. = vossa excelência, V. S.ª = vossa senhoria, P. S. = pós-escrito, Al. alameda,"
                    "c/ com, s/ sem,"
                    "Dep. deputado, Sto. santo, Sta. santa, máx. máximo, mín. mínimo, obs. observação, vs. versus"),
    before_number=_by_name("núm. número, n.º número, nº número, N.º número, N° número, n° número, pág. página,"
                           "págs. páginas, p. página, pp. páginas, cap. capítulo, caps. capítulos, art. artigo,"
                           "arts. artigos, vol. volume, fig. figura, tel. telefone, Tel. telefone, Cap. capítulo,"
                           "Art. artigo, Fig. figura, ed. edição, km. quilômetro"),
    regnal="Pedro|João|João Paulo|Carlos|Manuel|Afonso|Sancho|Dinis|Fernando|Duarte|Sebastião|Filipe|José|Maria|Miguel|"
           "Luís|Henrique|Jorge|Isabel|Elizabeth|Napoleão|Pio|Bento|Paulo|Francisco|Nicolau|Catarina|Alexandre|Ricardo",
    highest_ordinal=10,
    half_days=("da manhã", "da noite", "da tarde", "da noite"),
    symbols=_by_name("% por cento, ‰ por mil, & e, @ arroba, + mais, = igual a, × vezes, ÷ dividido por,"
                     "± mais ou menos, ° graus, / barra, # cerquilha, . ponto, - hífen, _ sublinhado, ² ao quadrado,"
                     "³ ao cubo, ≈ cerca de, ? interrogação, : dois pontos, € euro, $ dólar, £ libra, § parágrafo"),
    currencies={
        "€": (_m("euro", "euros"), _m("cêntimo", "cêntimos")), "$": (_m("dólar", "dólares"), _m("centavo", "centavos")),
        "£": (_f("libra", "libras"), _m("pêni", "pence")), "¥": (_m("iene", "ienes"), _m("sen", "sen")),
        "R$": (_m("real", "reais"), _m("centavo", "centavos")),
    },
    units={
        "km": _m("quilômetro", "quilômetros"), "m": _m("metro", "metros"), "cm": _m("centímetro", "centímetros"),
        "mm": _m("milímetro", "milímetros"), "kg": _m("quilograma", "quilogramas"), "g": _m("grama", "gramas"),
        "mg": _m("miligrama", "miligramas"), "l": _m("litro", "litros"), "L": _m("litro", "litros"),
        "ml": _m("mililitro", "mililitros"), "t": _f("tonelada", "toneladas"), "ha": _m("hectare", "hectares"),
        "h": _f("hora", "horas"), "min": _m("minuto", "minutos"), "s": _m("segundo", "segundos"),
        "km/h": _m("quilômetro por hora", "quilômetros por hora"), "m/s": _m("metro por segundo", "metros por segundo"),
        "°C": _m("grau Celsius", "graus Celsius"), "°": _m("grau", "graus"), "W": _m("watt", "watts"),
        "kW": _m("quilowatt", "quilowatts"), "kWh": _m("quilowatt-hora", "quilowatts-hora"), "V": _m("volt", "volts"),
        "GB": _m("gigabyte", "gigabytes"), "MB": _m("megabyte", "megabytes"), "Hz": _m("hertz", "hertz"),
        "m²": _m("metro quadrado", "metros quadrados"), "cm²": _m("centímetro quadrado", "centímetros quadrados"),
        "cm³": _m("centímetro cúbico", "centímetros cúbicos"), "kcal": _f("quilocaloria", "quilocalorias"),
        "cl": _m("centilitro", "centilitros"), "TB": _m("terabyte", "terabytes"), "KB": _m("kilobyte", "kilobytes"),
        "kHz": _m("quilohertz", "quilohertz"), "MHz": _m("megahertz", "megahertz"), "MW": _m("megawatt", "megawatts"),
        "Mbps": _m("megabit por segundo", "megabits por segundo"), "dB": _m("decibel", "decibéis"),
        "km²": _m("quilômetro quadrado", "quilômetros quadrados"),
        "m³": _m("metro cúbico", "metros cúbicos"),
    },
)  # fmt: skip

LANGUAGES = {language.code: language for language in (SPANISH, FRENCH, ITALIAN, PORTUGUESE)}
