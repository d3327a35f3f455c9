"""German: capitalised nouns, umlauts in the plural, the verb in second place."""

CASES = ()

NAMES = """
Sara Sara f
Omar Omar m
Nina Nina f
David David m
Maria Maria f
Ravi Ravi m
Leo Leo m
Asha Asha f
"""

NOUNS = """
apple Apfel Äpfel m
book Buch Bücher n
pen Stift Stifte m
cup Tasse Tassen f
egg Ei Eier n
ball Ball Bälle m
chair Stuhl Stühle m
mango Mango Mangos f
flower Blume Blumen f
stone Stein Steine m
shirt Hemd Hemden n
key Schlüssel Schlüssel m
bird Vogel Vögel m
hen Henne Hennen f
cat Katze Katzen f
goat Ziege Ziegen f
ant Ameise Ameisen f
spider Spinne Spinnen f
bicycle Fahrrad Fahrräder n
rickshaw Rikscha Rikschas f
car Auto Autos n
truck Lastwagen Lastwagen m
"""

NOUN_AGREEMENT = {"m": {}, "f": {}, "n": {}}
NAME_AGREEMENT = {"m": {}, "f": {}}

FRAMES = {
    "has": ("{a} hat {n} {x.many}.",),
    "finds": ("{a} findet noch {m} {x.many}.",),
    "buys": ("{a} kauft noch {m} {x.many}.",),
    "loses": ("{a} verliert {m} {x.many}.",),
    "sells": ("{a} verkauft {m} {x.many}.",),
    "gives": ("{a} gibt {b} {m} {x.many}.",),
    "boxes": ("Es gibt {n} Kisten und in jeder Kiste sind {m} {x.many}.",),
    "daily": ("{a} kauft jeden Tag {n} {x.many}.",),
    "sees": ("{a} sieht {n} {x.many}.",),
    "ask_now": ("Wie viele {x.many} hat {a} jetzt?",),
    "ask_left": ("Wie viele {x.many} hat {a} noch übrig?",),
    "ask_together": ("Wie viele {x.many} haben {a} und {b} zusammen?",),
    "ask_more": ("Wie viele {x.many} hat {a} mehr als {b}?",),
    "ask_boxes": ("Wie viele {x.many} gibt es insgesamt?",),
    "ask_days": ("Wie viele {x.many} kauft {a} in {m} Tagen?",),
    "ask_legs": ("Wie viele Beine haben sie insgesamt?",),
    "ask_wheels": ("Wie viele Räder haben sie insgesamt?",),
}
