"""What the English rules of `text_rules` know: abbreviations, units, currencies, names, letters that are spelled.

Words only; what is done with them stands in the rules. A word that is missing here is a line to add, and a line in
tests/data/normalise.tsv.
"""

from __future__ import annotations


def names(listed: str) -> list[str]:
    """The words of a list that is easier to read without its quotes and commas."""
    return listed.split()


def name_set(listed: str) -> frozenset[str]:
    return frozenset(names(listed))


def pairs_of(listed: str) -> dict[str, str]:
    """ "km kilometer, m meter" → {"km": "kilometer", "m": "meter"}: the first word and what follows it."""
    return {key: value for key, _, value in (entry.strip().partition(" ") for entry in listed.split(","))}


# ------------------------------------------------------------------------------------------------------------ calendar

MONTHS = tuple(names("January February March April May June July August September October November December"))
MONTH_OF = {name: name for name in MONTHS} | {name[:3]: name for name in MONTHS} | {"Sept": "September"}
DAYS = tuple(names("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"))
DAY_OF = {name: name for name in DAYS} | {name[:3]: name for name in DAYS}
DAY_OF |= {"Tues": "Tuesday", "Thur": "Thursday", "Thurs": "Thursday"}

# Before a number from 1000 to 2099, these make it a year.
YEAR_CUES = name_set(
    """in since by from until till before after during year circa to and between of spring autumn fall summer winter
    about around through late early mid"""
) | {name.lower() for name in MONTHS}
# After a number, these make it a count, as do words on -s, but for those that are no plurals.
COUNTED = name_set("people men women children feet teeth geese mice sheep fish deer police")
NO_PLURALS = name_set("was is his has as this its does us plus versus perhaps always towards across less thus")

# ------------------------------------------------------------------------------------------------------- abbreviations

# Before a name, and never a sentence end.
TITLES = {
    **{"Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Messrs": "Messieurs", "Dr": "Doctor", "Prof": "Professor"},
    **{"Gen": "General", "Col": "Colonel", "Lt": "Lieutenant", "Capt": "Captain", "Sgt": "Sergeant"},
    **{"Maj": "Major", "Cpl": "Corporal", "Cmdr": "Commander", "Adm": "Admiral", "Supt": "Superintendent"},
    **{"Rev": "Reverend", "Gov": "Governor", "Sen": "Senator", "Rep": "Representative", "Pres": "President"},
    **{"Mt": "Mount", "Ft": "Fort", "St": "Saint", "Ste": "Sainte", "Fr": "Father"},
    **{"MR": "MISTER", "MRS": "MISSUS", "MS": "MIZ", "DR": "DOCTOR"},
}
ALWAYS_DOTTED = name_set("Fr Rep Sen Gen Col Pres Maj Adm Ste")  # without the point these are other words
# After a name; may end a sentence.
STREETS = {"St": "Street", "Dr": "Drive", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Ln": "Lane"}
STREETS |= {"Hwy": "Highway", "Pkwy": "Parkway", "Ct": "Court", "Pl": "Place", "Sq": "Square", "Ter": "Terrace"}
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
    **{"incl": "including", "excl": "excluding"},
}
# With a point these may be a word that ends its sentence: abbreviations only where the sentence goes on.
WORDS_TOO = name_set("Max Min max temp ed est Inst apt tel Tel Apt orig")
LATIN = {"e.g": "for example", "i.e": "that is", "viz": "namely", "cf": "compare"}
BEFORE_NUMBER = {
    **{"No": "Number", "no": "number", "Nos": "Numbers", "nos": "numbers", "Vol": "Volume", "vol": "volume"},
    **{"p": "page", "pp": "pages", "Fig": "Figure", "fig": "figure", "Figs": "Figures", "figs": "figures"},
    **{"Ch": "Chapter", "ch": "chapter", "Sec": "Section", "sec": "section", "c": "circa", "ca": "circa"},
    **{"Art": "Article", "Ext": "Extension", "ext": "extension", "Eq": "Equation", "eq": "equation"},
    **{"Tel": "Telephone", "tel": "telephone", "Rm": "Room", "Apt": "Apartment", "apt": "apartment", "Op": "Opus"},
    **{"op": "opus", "vv": "verses", "ver": "version", "Ver": "Version", "ll": "lines", "Pt": "Part", "pt": "part"},
}
# Without a point; the longest first where one begins like another.
SHORTENED = {
    **{"w/o": "without", "w/": "with", "b/c": "because", "c/o": "care of", "n/a": "not applicable"},
    **{"N/A": "not applicable", "a.k.a.": "also known as", "aka": "also known as", "PhD": "P h D", "PhDs": "P h D's"},
    **{"Ph.D.": "P h D", "pH": "p H", "et al.": "et al", "&c.": "et cetera", "vs": "versus", "401(k)": "four oh one k"},
    **{"401k": "four oh one k", ".NET": "dot net", "WWI": "World War One", "WWII": "World War Two"},
}
# Units that stand alone; after a number, UNITS are read.
UNIT_WORDS = {"mph": "miles per hour", "kph": "kilometers per hour", "km/h": "kilometers per hour"}
UNIT_WORDS |= {"m/s": "meters per second", "kWh": "kilowatt hours", "°C": "degrees Celsius", "°F": "degrees Fahrenheit"}
# What a slash is per.
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
STATES_LIKE_WORDS = name_set("HI IN ME OH OK OR PA MA LA")  # only where a postal code follows

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
    MWh megawatt hour, mV millivolt, V volt, kV kilovolt, mA milliampere, mAh milliampere hour, Ω ohm, kΩ kiloohm,
    dB decibel, dBA decibel, kJ kilojoule, cal calorie, kcal kilocalorie, kN kilonewton, hPa hectopascal,
    kPa kilopascal, km/h kilometer per hour, kph kilometer per hour, mph mile per hour, m/s meter per second,
    m/s² meter per second squared, rpm revolution per minute, fps frame per second, bpm beat per minute,
    psi pound per square inch, dpi dot per inch, ppm part per million, mg/L milligram per liter,
    mg/dL milligram per deciliter, g/L gram per liter, kg/m³ kilogram per cubic meter, g/cm³ gram per cubic centimeter,
    °C degree Celsius, °F degree Fahrenheit, ° degree, px pixel, sq mi square mile,
    sq km square kilometer, sq m square meter, sq yd square yard, mol mole"""
)
UNCOUNTED = {"ft": ("foot", "feet"), "Hz": ("hertz",) * 2, "kHz": ("kilohertz",) * 2, "MHz": ("megahertz",) * 2}
UNCOUNTED |= {"GHz": ("gigahertz",) * 2, "sq ft": ("square foot", "square feet"), "lx": ("lux",) * 2}
UNCOUNTED |= {"cu ft": ("cubic foot", "cubic feet"), "ft/s": ("foot per second", "feet per second")}

# One, many, one hundredth, many of those.
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
CURRENCIES |= {"HK$": _dollars("Hong Kong"), "S$": _dollars("Singapore")}
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
SCALES = {"k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "mm": "million"}
SCALES |= {"MM": "million", "bn": "billion", "B": "billion", "b": "billion", "tn": "trillion", "T": "trillion"}
SCALES |= {name: name for name in ("hundred", "thousand", "million", "billion", "trillion")}

# ------------------------------------------------------------------------------------------------------ names and codes

REGNAL = name_set(
    """Albert Alexander Alfonso Baldwin Benedict Boniface Carl Catherine Charles Christian Clement Constantine Darius
    Edward Elizabeth Francis Frederick Ferdinand George Gregory Gustav Haakon Harald Henry Innocent Isabella Ivan James
    John Joseph Justinian Leo Leopold Louis Margaret Mary Maximilian Napoleon Nicholas Olaf Otto Paul Peter Philip Pius
    Ramses Ramesses Richard Robert Rudolf Sixtus Stephen Theodosius Umberto Urban Victor Wilhelm William Xerxes"""
)
# After "William I" and the like at the start of a clause: what is said of kings, and hardly ever of oneself there.
REIGNING = name_set(
    "won ruled reigned became died invaded conquered succeeded ascended abdicated married defeated was founded built"
)
# Before a Roman numeral, these make it a number.
NUMBERED = name_set(
    """chapter part act scene book volume section article war phase type appendix canto title class grade stage level
    category mark group tier schedule figure table bowl apollo round unit lesson verse page pages episode season
    symphony number olympiad"""
)
# A number of three or four digits after these is read in pairs, as house and flight numbers are.
PAIRED = name_set("Flight Highway Route Room Interstate Boeing Airbus Suite Apartment Flat Bus Train Extension Unit US")
PAIRED |= name_set("flight highway route room suite apartment flat bus train extension")
# A number with a point after these is no decimal: "Python 3.11" is "three point eleven".
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

# Capitals that are read letter by letter although a vowel would let one read them as a word: those of four letters and
# more. One of two or three letters is spelled unless it is a word.
INITIALISMS = name_set("AARP ADHD ASAP ASPCA ESPN HTTPS ICBM IEEE ISBN IUPAC NAACP NYPD NYSE OECD UCLA")
# Read letter by letter too, but the training text writes them as one word, so a model knows them that way.
AS_WRITTEN = name_set("FBI CIA TV USA USSR PRS HMM SHH PSST BRR GRR TSK ZZZ PFFT NTH")
# Of two or three letters, and read as a word all the same.
ACRONYMS = name_set("RAM ROM SIM PIN GIF LAN WAN ZIP SAT MAC DOS")
# Words of two and three letters that people put in capitals to stress them.
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

# Names of domains and files that are spelled although one could read them as words.
SPELLED_LABELS = name_set("usr uk eu io ai us tv de edu id ie ui api ip")
EXTENSIONS = (
    "com|org|net|edu|gov|io|uk|de|fr|eu|ai|dev|app|py|txt|md|pdf|html|htm|csv|tsv|json|yaml|yml|toml|js|ts|css|exe|zip"
    "|tar|gz|png|jpg|jpeg|gif|svg|wav|flac|ogg|mp3|mp4|doc|docx|xls|xlsx|ppt|pptx|cfg|ini|log|sh|rs|cpp|java|xml|sql|mov"
)

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

# Symbols of the elements, for "NaCl" and "H2SO4".
ELEMENTS = (
    "He|Li|Be|Ne|Na|Mg|Al|Si|Cl|Ar|Ca|Sc|Ti|Cr|Mn|Fe|Co|Ni|Cu|Zn|Ga|Ge|As|Se|Br|Kr|Rb|Sr|Zr|Ag|Cd|Sn|Sb|Xe|Cs|Ba|Pt|Au"
    "|Hg|Pb|Bi|Ra|Th|H|B|C|N|O|F|P|S|K|V|Y|I|W|U"
)

# First words by which a capital after an abbreviation is taken for a new sentence and not for a name.
STARTERS = name_set(
    """A About After All Also Although An And Another Any Are As At Be Because Before Both But By Can Did Do Does During
    Each Even Every Few Finally First For From Had Has Have He Her Here His How However I If In Instead Is It Its
    Just Last Later Let Many Maybe Meanwhile More Most Much My Next No Nobody Not Nothing Now Of On Once One Only Or
    Other Our Perhaps Please She Should Since So Some Somebody Someone Soon Still Such Suddenly Than That The Their
    Then There These They Thirty This Those Though Three Through Thus To Today Together Tomorrow Two Under Unless
    Until Up Was We Well Were What When Where Which While Who Whose Why Will With Without Would Yes Yesterday Yet
    You Your"""
)
