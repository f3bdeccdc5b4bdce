"""The words that the English rules know: months, abbreviations, units, currencies, names, and letters that are spelled.

Data only: the rules that use it are in the other english_* modules. To add a word, add it here and add a line to
tests/data/normalise.tsv.
"""

from __future__ import annotations


def names(listed: str) -> list[str]:
    """Return the words of a list written without quotes and commas."""
    return listed.split()


def name_set(listed: str) -> frozenset[str]:
    """Return `names` as a set."""
    return frozenset(names(listed))


def pairs_of(listed: str) -> dict[str, str]:
    """Return a table: "km kilometer, sq m = square meter" is {"km": "kilometer", "sq m": "square meter"}."""
    entries = (entry.strip() for entry in listed.split(","))
    parted = (entry.partition(" = " if " = " in entry else " ") for entry in entries)
    return {key: value for key, _, value in parted}


# ------------------------------------------------------------------------------------------------------------ calendar

MONTHS = tuple(names("January February March April May June July August September October November December"))
MONTH_OF = {name: name for name in MONTHS} | {name[:3]: name for name in MONTHS} | {"Sept": "September"}
# In lower case, all but the words "march" and "may".
MONTH_OF |= {name.lower(): name for name in MONTHS if name not in ("March", "May")}
# Notations that are months only beside a number. "may" needs a year, too.
MONTH_BESIDE = {form: name for name in MONTHS for form in (name[:3].upper(), name[:3].lower(), name.upper())}
MONTH_BESIDE |= {"SEPT": "September", "sept": "September"}
del MONTH_BESIDE["may"]
DAYS = tuple(names("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"))
DAY_OF = {name: name for name in DAYS} | {name[:3]: name for name in DAYS}
DAY_OF |= {"Tues": "Tuesday", "Thur": "Thursday", "Thurs": "Thursday"}

# A number from 1900 to 2099 between one of these and a plural is a year, unless it is round: "our 2030 goals".
DETERMINERS = name_set("our my your his her its their the this that last next")
# A number from 1900 to 2099 after one of these is a year even before "people" and the like.
STRONG_CUES = name_set("in since by until till")
# A number from 1000 to 2099 after one of these is a year.
YEAR_CUES = name_set(
    """in since by from until till before after during year circa to and between of spring autumn fall summer winter
    about around through late early mid"""
) | {name.lower() for name in MONTHS}
# A number before one of these, or before a plural in -s, is a count, not a year. NO_PLURALS lists exceptions.
COUNTED = name_set("people men women children feet teeth geese mice sheep fish deer police")
NO_PLURALS = name_set("was is his has as this its does us plus versus perhaps always towards across less thus")

# ------------------------------------------------------------------------------------------------------- abbreviations

# These stand before a name and never end a sentence.
TITLES = {
    **{"Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Messrs": "Messieurs", "Dr": "Doctor", "Prof": "Professor"},
    **{"Gen": "General", "Col": "Colonel", "Lt": "Lieutenant", "Capt": "Captain", "Sgt": "Sergeant"},
    **{"Maj": "Major", "Cpl": "Corporal", "Cmdr": "Commander", "Adm": "Admiral", "Supt": "Superintendent"},
    **{
        "Rev": "Reverend",
        "Pvt": "Private",
        "Hon": "Honorable",
        "Asst": "Assistant",
        "Gov": "Governor",
        "Sen": "Senator",
        "Rep": "Representative",
        "Pres": "President",
    },
    **{"Mt": "Mount", "Ft": "Fort", "St": "Saint", "Ste": "Sainte", "Fr": "Father"},
    **{"MR": "MISTER", "MRS": "MISSUS", "MS": "MIZ", "DR": "DOCTOR"},
}
ALWAYS_DOTTED = name_set("Fr Rep Sen Gen Col Pres Maj Adm Ste")  # other words without the point
# These stand after a name and may end a sentence.
STREETS = {"St": "Street", "Dr": "Drive", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Ln": "Lane"}
STREETS |= {"Hwy": "Highway", "Pkwy": "Parkway", "Ct": "Court", "Pl": "Place", "Sq": "Square", "Ter": "Terrace"}
STREETS |= {"Expy": "Expressway", "Fwy": "Freeway", "Tpke": "Turnpike", "Cir": "Circle"}
SUFFIXES = {
    **{"Jr": "Junior", "Sr": "Senior", "Inc": "Incorporated", "Ltd": "Limited", "Corp": "Corporation"},
    **{"Co": "Company", "Bros": "Brothers", "etc": "et cetera", "Dept": "Department", "dept": "department"},
    **{"approx": "approximately", "vs": "versus", "Esq": "Esquire", "est": "established", "govt": "government"},
    **{"Govt": "Government", "Assn": "Association", "Univ": "University", "univ": "university", "Inst": "Institute"},
    **{"misc": "miscellaneous", "avg": "average", "Avg": "Average", "temp": "temperature", "max": "maximum"},
    **{"Max": "Maximum", "Min": "Minimum", "tel": "telephone", "Tel": "Telephone", "bldg": "building"},
    **{"Bldg": "Building", "ed": "edition", "eds": "editors", "orig": "original", "qty": "quantity"},
    **{"intl": "international", "Intl": "International", "natl": "national", "Natl": "National", "apt": "apartment"},
    **{"Apt": "Apartment", "Rm": "Room", "mfg": "manufacturing", "Mfg": "Manufacturing"},
    **{"incl": "including", "excl": "excluding", "mfr": "manufacturer", "Mfr": "Manufacturer"},
}
# Each of these with a point may also be a word that ends its sentence: abbreviations only if the sentence continues.
WORDS_TOO = name_set("Max Min max temp ed est Inst apt tel Tel Apt orig")
LATIN = {"e.g": "for example", "i.e": "that is", "viz": "namely", "cf": "compare"}
BEFORE_NUMBER = {
    **{"No": "Number", "no": "number", "Nos": "Numbers", "nos": "numbers", "Vol": "Volume", "vol": "volume"},
    **{"p": "page", "pp": "pages", "Fig": "Figure", "fig": "figure", "Figs": "Figures", "figs": "figures"},
    **{"Ch": "Chapter", "ch": "chapter", "Sec": "Section", "sec": "section", "c": "circa", "ca": "circa"},
    **{"Ste": "Suite", "Chap": "Chapter", "chap": "chapter", "Cl": "Clause", "cl": "clause"},
    **{"Art": "Article", "Ext": "Extension", "ext": "extension", "Eq": "Equation", "eq": "equation"},
    **{"Tel": "Telephone", "tel": "telephone", "Rm": "Room", "Apt": "Apartment", "apt": "apartment", "Op": "Opus"},
    **{"Ref": "Reference", "ref": "reference", "Eqs": "Equations", "eqs": "equations"},
    **{"op": "opus", "vv": "verses", "ver": "version", "Ver": "Version", "ll": "lines", "Pt": "Part", "pt": "part"},
}
# Abbreviations that never end a sentence.
NEVER_LAST = name_set("vs approx incl excl avg Avg")
# Abbreviations without a final point, or with an unusual form.
SHORTENED = {
    **{"w/o": "without", "w/out": "without", "w/": "with", "b/c": "because", "c/o": "care of", "n/a": "not applicable"},
    **{"N/A": "not applicable", "a.k.a.": "also known as", "aka": "also known as", "PhD": "P h D", "PhDs": "P h D's"},
    **{
        "Ph.D.": "P h D",
        "Ph. D.": "P h D",
        "pH": "p H",
        "et al.": "et al",
        "et. al.": "et al",
        "&c.": "et cetera",
        "vs": "versus",
        "401(k)": "four oh one k",
    },
    **{"401k": "four oh one k", ".NET": "dot net", "WWI": "World War One", "WWII": "World War Two"},
}
# Initials of names that stand apart, which would otherwise be those of a person.
SHORTENED |= {f"{' '.join(f'{c}.' for c in letters)}": " ".join(letters) for letters in ("US", "USA", "UK", "UN", "EU")}
SHORTENED |= {
    f"{' '.join(f'{c}.' for c in letters)}": " ".join(letters) for letters in ("NY", "LA", "DC", "NZ", "RSVP")
}
# Units of several words, read without a number before them.
SHORTENED |= {
    **{"sq. ft.": "square feet", "sq ft": "square feet", "sq. m.": "square meters", "sq. mi.": "square miles"},
    **{"sq. km": "square kilometers", "sq km": "square kilometers", "sq. in.": "square inches"},
    **{"cu. ft.": "cubic feet", "cu ft": "cubic feet", "fl. oz.": "fluid ounces", "fl oz": "fluid ounces"},
}
# Units with points: "30 m.p.h."
POINTED = {"m.p.h": "mph", "k.p.h": "kph", "m.p.g": "mpg", "r.p.m": "rpm", "b.p.m": "bpm"}
# Units that are read without a number before them.
UNIT_WORDS = {"mph": "miles per hour", "kph": "kilometers per hour", "km/h": "kilometers per hour"}
UNIT_WORDS |= {"m/s": "meters per second", "kWh": "kilowatt hours", "°C": "degrees Celsius", "°F": "degrees Fahrenheit"}
# Words that a slash joins as "per".
PER = {"hr": "hour", "h": "hour", "min": "minute", "sec": "second", "s": "second", "wk": "week", "mo": "month"}
PER |= {"yr": "year", "lb": "pound", "kg": "kilogram", "oz": "ounce", "gal": "gallon", "km": "kilometer", "L": "liter"}
PER |= {
    word: word
    for word in names(
        """hour minute second day night week month year person head user student item piece unit page share kilogram
        pound ounce liter gallon mile kilometer meter game capita"""
    )
}
STATES = pairs_of(
    """AL Alabama, AK Alaska, AZ Arizona, AR Arkansas, CA California, CO Colorado, CT Connecticut, DE Delaware,
    FL Florida, GA Georgia, HI Hawaii, ID Idaho, IL Illinois, IN Indiana, IA Iowa, KS Kansas, KY Kentucky,
    LA Louisiana, ME Maine, MD Maryland, MA Massachusetts, MI Michigan, MN Minnesota, MS Mississippi, MO Missouri,
    MT Montana, NE Nebraska, NV Nevada, NH New Hampshire, NJ New Jersey, NM New Mexico, NY New York,
    NC North Carolina, ND North Dakota, OH Ohio, OK Oklahoma, OR Oregon, PA Pennsylvania, RI Rhode Island,
    SC South Carolina, SD South Dakota, TN Tennessee, TX Texas, UT Utah, VT Vermont, VA Virginia, WA Washington,
    WV West Virginia, WI Wisconsin, WY Wyoming, DC D C"""
)
STATES_LIKE_WORDS = name_set("HI IN ME OH OK OR PA MA LA")  # read only before a postal code

# -------------------------------------------------------------------------------------------------- units and currency

UNITS = pairs_of(
    """km kilometer, m meter, dm decimeter, cm centimeter, mm millimeter, µm micrometer, μm micrometer, nm nanometer,
    mi mile, yd yard, yds yard, kg kilogram, g gram, mg milligram, µg microgram, μg microgram, mcg microgram,
    t ton, lb pound, lbs pound, oz ounce, L liter, l liter, mL milliliter, ml milliliter, dl deciliter, cl centiliter,
    gal gallon, qt quart, tsp teaspoon, tbsp tablespoon, ha hectare, h hour, hr hour, hrs hour, min minute,
    mins minute, s second, sec second, secs second, ms millisecond, µs microsecond, μs microsecond, ns nanosecond,
    yr year, yrs year, KB kilobyte, kB kilobyte, MB megabyte, GB gigabyte, TB terabyte, PB petabyte, MiB mebibyte,
    GiB gibibyte, kbps kilobit per second, Kbps kilobit per second, Mbps megabit per second, Gbps gigabit per second,
    kbit/s kilobit per second, Mbit/s megabit per second, MB/s megabyte per second, GB/s gigabyte per second,
    mW milliwatt, W watt, kW kilowatt, MW megawatt, GW gigawatt, Wh watt hour, kWh kilowatt hour,
    MWh megawatt hour, mV millivolt, V volt, kV kilovolt, mA milliampere, mAh milliampere hour, Ω ohm,
    kΩ kilohm, MΩ megohm, atm atmosphere, nautical mi = nautical mile, nmi nautical mile,
    dB decibel, dBA decibel, kJ kilojoule, cal calorie, kcal kilocalorie, kN kilonewton, hPa hectopascal,
    kPa kilopascal, km/h kilometer per hour, kph kilometer per hour, mph mile per hour, m/s meter per second,
    m/s² meter per second squared, rpm revolution per minute, fps frame per second, bpm beat per minute,
    psi pound per square inch, dpi dot per inch, ppm part per million, mg/L milligram per liter,
    mg/dL milligram per deciliter, g/L gram per liter, kg/m³ kilogram per cubic meter, g/cm³ gram per cubic centimeter,
    °C degree Celsius, °F degree Fahrenheit, ° degree, px pixel, sq mi = square mile,
    sq km = square kilometer, sq m = square meter, sq cm = square centimeter, sq mm = square millimeter,
    sq yd = square yard, sq yds = square yard, sq mile = square mile, sq miles = square mile, cu m = cubic meter,
    cu cm = cubic centimeter, cu yd = cubic yard, cu yds = cubic yard, fl oz = fluid ounce, mol mole,
    kgs kilogram, kms kilometer, cms centimeter, mms millimeter, Kg kilogram, KG kilogram, Kgs kilogram, Km kilometer,
    KM kilometer, Kms kilometer, Lb pound, LB pound, Lbs pound, LBS pound, Oz ounce, OZ ounce, Hrs hour, Mins minute,
    kw kilowatt, KW kilowatt, Kw kilowatt, kwh kilowatt hour, KWh kilowatt hour, KWH kilowatt hour, kWH kilowatt hour,
    kva kilovolt ampere, kVA kilovolt ampere, mbps megabit per second, gbps gigabit per second, gb gigabyte,
    mb megabyte, kb kilobyte, tb terabyte, MPH mile per hour, Mph mile per hour, kmph kilometer per hour,
    km/hr kilometer per hour, kmh kilometer per hour, mcd millicandela, MPa megapascal, GPa gigapascal,
    Nm newton meter, mi/h mile per hour, wk week, wks week, mos month"""
)
UNCOUNTED = {"ft": ("foot", "feet"), "Hz": ("hertz",) * 2, "kHz": ("kilohertz",) * 2, "MHz": ("megahertz",) * 2}
UNCOUNTED |= {"GHz": ("gigahertz",) * 2, "sq ft": ("square foot", "square feet"), "lx": ("lux",) * 2}
UNCOUNTED |= {"cu ft": ("cubic foot", "cubic feet"), "ft/s": ("foot per second", "feet per second")}
UNCOUNTED |= {"sq in": ("square inch", "square inches"), "cu in": ("cubic inch", "cubic inches")}
UNCOUNTED |= {"hz": ("hertz",) * 2, "khz": ("kilohertz",) * 2, "mhz": ("megahertz",) * 2, "ghz": ("gigahertz",) * 2}
UNCOUNTED |= {
    "mpg": ("mile per gallon", "miles per gallon"),
    "bpm": ("beat per minute", "beats per minute"),
    "Ft": ("foot", "feet"),
    "FT": ("foot", "feet"),
    "hp": ("horsepower",) * 2,
    "sq feet": ("square feet",) * 2,
    "mmHg": ("millimeter of mercury", "millimeters of mercury"),
}

# Singular, plural, and the same of the hundredth part.
CURRENCIES = {
    **{"$": ("dollar", "dollars", "cent", "cents"), "£": ("pound", "pounds", "penny", "pence")},
    **{"€": ("euro", "euros", "cent", "cents"), "¥": ("yen", "yen", "sen", "sen")},
    **{"₹": ("rupee", "rupees", "paisa", "paise"), "₽": ("ruble", "rubles", "kopeck", "kopecks")},
    **{"₩": ("won", "won", "jeon", "jeon"), "₪": ("shekel", "shekels", "agora", "agorot")},
    **{"₺": ("lira", "lira", "kurus", "kurus"), "₴": ("hryvnia", "hryvnias", "kopiyka", "kopiykas")},
    **{"₦": ("naira", "naira", "kobo", "kobo"), "₱": ("peso", "pesos", "centavo", "centavos")},
    **{"฿": ("baht", "baht", "satang", "satang"), "₫": ("dong", "dong", "xu", "xu")},
    **{"₿": ("bitcoin", "bitcoins", "cent", "cents"), "zł": ("zloty", "zlotys", "grosz", "groszy")},
}


def _dollars(country: str) -> tuple[str, str, str, str]:
    return f"{country} dollar", f"{country} dollars", "cent", "cents"


CURRENCIES |= {"US$": _dollars("U S"), "A$": _dollars("Australian"), "AU$": _dollars("Australian")}
CURRENCIES |= {"C$": _dollars("Canadian"), "CA$": _dollars("Canadian"), "NZ$": _dollars("New Zealand")}
CURRENCIES |= {"HK$": _dollars("Hong Kong"), "S$": _dollars("Singapore"), "NT$": _dollars("Taiwan")}
CURRENCIES |= {"MX$": ("Mexican peso", "Mexican pesos", "centavo", "centavos")}
CURRENCIES |= {"₵": ("cedi", "cedis", "pesewa", "pesewas"), "₸": ("tenge", "tenge", "tiyn", "tiyn")}
CURRENCIES |= dict.fromkeys(("Rs.", "Rs"), CURRENCIES["₹"]) | {"Rp": ("rupiah", "rupiah", "sen", "sen")}
CURRENCIES |= dict.fromkeys(("kr.", "kr"), ("krone", "kroner", "ore", "ore"))
CURRENCIES |= {"R$": ("real", "reais", "centavo", "centavos")}
CURRENCY_CODES = {
    **{"USD": _dollars("U S"), "AUD": _dollars("Australian"), "CAD": _dollars("Canadian"), "EUR": CURRENCIES["€"]},
    **{"NZD": _dollars("New Zealand"), "HKD": _dollars("Hong Kong"), "SGD": _dollars("Singapore")},
    **{"GBP": CURRENCIES["£"], "JPY": CURRENCIES["¥"], "INR": CURRENCIES["₹"], "CNY": ("yuan", "yuan", "fen", "fen")},
    **{"RMB": ("yuan", "yuan", "fen", "fen"), "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes")},
    **{"SEK": ("Swedish krona", "Swedish kronor", "ore", "ore"), "PLN": CURRENCIES["zł"], "BRL": CURRENCIES["R$"]},
    **{"NOK": ("Norwegian krone", "Norwegian kroner", "ore", "ore"), "BTC": CURRENCIES["₿"]},
    **{"DKK": ("Danish krone", "Danish kroner", "ore", "ore")},
    **{"MXN": ("Mexican peso", "Mexican pesos", "centavo", "centavos")},
}
CURRENCY_CODES |= {
    "ZAR": ("rand", "rand", "cent", "cents"),
    "THB": CURRENCIES["฿"],
    "KRW": CURRENCIES["₩"],
    "TRY": CURRENCIES["₺"],
    "RUB": CURRENCIES["₽"],
    "ILS": CURRENCIES["₪"],
}
SCALES = {"k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "mm": "million"}
SCALES |= {"MM": "million", "bn": "billion", "B": "billion", "b": "billion", "tn": "trillion", "T": "trillion"}
SCALES |= dict.fromkeys(("mil", "mln", "Mn", "mio", "Mio"), "million")
SCALES |= dict.fromkeys(("bil", "bln", "Bn"), "billion") | dict.fromkeys(("trn", "tril", "Tn"), "trillion")
SCALES |= {"lakh": "lakh", "crore": "crore", "cr": "crore"}
SCALES |= {name: name for name in ("hundred", "thousand", "million", "billion", "trillion")}

# ------------------------------------------------------------------------------------------------------ names and codes

REGNAL = name_set(
    """Albert Alexander Alfonso Baldwin Benedict Boniface Carl Catherine Charles Christian Clement Constantine Darius
    Edward Elizabeth Francis Frederick Ferdinand George Gregory Gustav Haakon Harald Henry Innocent Isabella Ivan
    James John Joseph Justinian Leo Leopold Louis Margaret Mary Maximilian Napoleon Nicholas Olaf Otto Paul Peter
    Philip Pius Felipe Carlos Fernando Enrique Juan Pedro Luis Alexandre Philippe Ramses Ramesses Richard Robert
    Rudolf Sixtus Stephen Theodosius Umberto Urban Victor Wilhelm William Xerxes"""
)
# Verbs after "William I" at the start of a clause that are said of monarchs and rarely of oneself.
REIGNING = name_set(
    "won ruled reigned became died invaded conquered succeeded ascended abdicated married defeated was founded built"
)
# A Roman numeral after one of these is a number.
NUMBERED = name_set(
    """chapter part act scene book volume section article war phase type appendix canto title class grade stage level
    category mark group tier schedule figure table bowl apollo round unit lesson verse page pages episode season
    symphony number olympiad"""
)
# Of these, "I" after one in lower case is a numeral too, not the pronoun: "a type I error", but "the part I read".
CLASSED = name_set("type phase class stage grade level category schedule group tier title")
# Words after which "I" was the pronoun: "the type I like".
AFTER_PRONOUN = name_set(
    """am was have had has will would can could should shall may might must do did don't didn't think thought know knew
    like liked love loved hate hated want wanted need needed see saw read wrote write use used show showed mean
    meant say said play played teach taught learn learned get got give gave take took make made find found feel felt
    go went come came work worked live lived call called remember forgot never always also just really still only
    ever often usually once now already actually mention mentioned describe described discuss discussed explain
    explained present presented argue argued review reviewed consider considered buy bought choose chose prefer
    preferred enjoy enjoyed watch watched hear heard try tried start started study studied spend spent attend
    attended join joined miss missed meet met leave left own owned run ran wear wore eat ate cannot can't won't
    couldn't wouldn't shouldn't haven't hadn't wasn't finish finished recommend recommended hope hoped wish wished
    believe believed suggest suggested ask asked tell told talk talked look looked wonder wondered"""
)
# A heading "I." before one of these is a numeral.
OPENINGS = name_set(
    """The A An In Of On At To How Why What When Where Who Introduction Overview Background Summary Prologue Preface
    Beginnings Methods Results Discussion Conclusion Motivation Preliminaries Scope Purpose Abstract Foreword"""
)
# A number with a leading zero after one of these is an ordinary number: "Chapter 01".
COUNTERS = NUMBERED | name_set(
    """day week month year step track exercise question problem task slide disc disk module example item number team
    player line point section rule tip sheet photo image episode tape side session video clip test series vol no"""
)
# A number of three or four digits after one of these is read in pairs.
PAIRED = name_set("Flight Highway Route Room Interstate Boeing Airbus Suite Apartment Flat Bus Train Extension Unit US")
PAIRED |= name_set("RTX GTX RX GeForce Radeon Ryzen Rooms rooms Flights flights Routes routes")
PAIRED |= name_set("flight highway route room suite apartment flat bus train extension")
# A number with a point after one of these is a version: "Python 3.11" is "three point eleven".
VERSIONED = name_set(
    """version release python java ubuntu ios macos android windows node pytorch cuda usb bluetooth django rust
    section figure table chapter clause paragraph appendix article equation exercise kernel linux firefox php"""
)
BIBLE = name_set(
    """Genesis Exodus Leviticus Numbers Deuteronomy Joshua Judges Ruth Samuel Kings Chronicles Ezra Nehemiah Esther Job
    Psalm Psalms Proverbs Ecclesiastes Isaiah Jeremiah Lamentations Ezekiel Daniel Hosea Joel Amos Obadiah Jonah Micah
    Nahum Habakkuk Zephaniah Haggai Zechariah Malachi Matthew Mark Luke John Acts Romans Corinthians Galatians Ephesians
    Philippians Colossians Thessalonians Timothy Titus Philemon Hebrews James Peter Jude Revelation"""
)
EMERGENCY = "911 999 112 411 311 211 101 111 000".split()

# Capitals of four letters or more that are spelled although they contain a vowel. Those of two or three letters are
# spelled unless they are in SHORT_WORDS or ACRONYMS.
INITIALISMS = name_set("AARP ADHD ASAP ASPCA ESPN HTTPS ICBM IEEE ISBN IUPAC NAACP NYPD NYSE OECD UCLA")
# Spelled as well, but the training text writes them as one word, so the models know them that way.
AS_WRITTEN = name_set("FBI CIA TV USA USSR PRS HMM SHH PSST BRR GRR TSK ZZZ PFFT NTH")
# Two or three letters that are read as a word.
ACRONYMS = name_set("RAM ROM SIM PIN GIF LAN WAN ZIP SAT MAC DOS")
# Words of two and three letters that people capitalise for stress.
SHORT_WORDS = name_set(
    """A I AM AN AS AT BE BY DO GO HE IF IN IS IT ME MY NO OF OH OK ON OR SO TO UP WE HA HI HO HM UH UM EH AH YE LO OX
    ACE ACT ADD AGE AGO AID AIM AIR ALL AND ANY APE ARE ARM ART ASK ATE BAD BAG BAN BAR BAT BED BEE BEG BET BIG BIT BOB
    BOW BOX BOY BUG BUS BUT BUY CAN CAP CAR CAT COW CRY CUP CUT DAD DAY DID DIE DIG DOG DRY DUE EAR EAT EGG END EVE EYE
    FAN FAR FAT FEW FIG FIT FIX FLY FOR FOX FUN GAS GET GOD GOT GUN GUY HAD HAS HAT HAY HEN HER HEY HID HIM HIS HIT HOT
    HOW HUG ICE ILL ITS JAM JAR JOB JOY KEY KID LAP LAW LAY LED LEG LET LID LIE LIP LOG LOT LOW MAD MAN MAP MAY MEN MET
    MIX MOM MUD MUM NET NEW NOR NOT NOW NUT ODD OFF OIL OLD ONE OUR OUT OWE OWL OWN PAN PAY PEN PET PIE PIG POT PUT RAN
    RAT RAW RED RID RUB RUN SAD SAW SAY SEA SEE SET SEX SHE SHY SIR SIT SIX SKY SON SUN TAX TEA TEN THE TIE TIN TIP TOE
    TOO TOP TOY TRY TWO USE VAN VIA WAR WAS WAX WAY WEB WET WHO WHY WIN WON YES YET YOU ZOO WOW YEP NAH AHA BOO HUH OUR
    PER PRO TON TAR VOW AXE LOL OWE AYE NAY"""
)
IT_NOUNS = names("department support team staff manager system systems infrastructure industry sector budget security")
TIME_ZONES = name_set("EST EDT CST CDT MST MDT PST PDT GMT UTC CET CEST BST IST")

# Parts of addresses that are spelled although they could be read as words.
SPELLED_LABELS = name_set("usr uk eu io ai us tv de edu id ie ui api ip")
EXTENSIONS = (
    "com|org|net|edu|gov|io|uk|de|fr|eu|ai|dev|app|py|txt|md|pdf|html|htm|csv|tsv|json|yaml|yml|toml|js|ts|css|exe|zip"
    "|tar|gz|png|jpg|jpeg|gif|svg|wav|flac|ogg|mp3|mp4|doc|docx|xls|xlsx|ppt|pptx|cfg|ini|log|sh|rs|cpp|java|xml|sql|mov"
)

# Names of the signs in addresses and codes.
SIGNS = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "?": "question mark", "#": "hash", "~": "tilde"}
SIGNS |= {":": "colon", "@": "at", "=": "equals", "&": "and", "%": "percent", "+": "plus", "$": "dollar"}
SIGNS |= {"!": "exclamation mark"}

COMPASS = {"N": "north", "S": "south", "E": "east", "W": "west"}

GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρσςτυφχψω",
        names(
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma sigma tau "
            "upsilon phi chi psi omega"
        ),
        strict=True,
    )
)
GREEK |= {small.upper(): name.title() for small, name in GREEK.items() if small != "ς"}

# Chemical elements, for "NaCl" and "H2SO4".
ELEMENTS = (
    "He|Li|Be|Ne|Na|Mg|Al|Si|Cl|Ar|Ca|Sc|Ti|Cr|Mn|Fe|Co|Ni|Cu|Zn|Ga|Ge|As|Se|Br|Kr|Rb|Sr|Zr|Ag|Cd|Sn|Sb|Xe|Cs|Ba|Pt|Au"
    "|Hg|Pb|Bi|Ra|Th|H|B|C|N|O|F|P|S|K|V|Y|I|W|U"
)
