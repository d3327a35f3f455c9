"""Swahili: noun classes; the number and the question word follow the noun; animals agree as persons do."""

CASES = ()

NAMES = """
Sara Sara f
Omar Omari m
Nina Nina f
David Daudi m
Maria Maria f
Ravi Ravi m
Leo Leo m
Asha Asha f
"""

NOUNS = """
apple tufaha matufaha 6
book kitabu vitabu 8
pen kalamu kalamu 10
cup kikombe vikombe 8
egg yai mayai 6
ball mpira mipira 4
chair kiti viti 8
mango embe maembe 6
flower ua maua 6
stone jiwe mawe 6
shirt shati mashati 6
key ufunguo funguo 10
bird ndege ndege 2
hen kuku kuku 2
cat paka paka 2
goat mbuzi mbuzi 2
ant sisimizi sisimizi 2
spider buibui buibui 2
bicycle baiskeli baiskeli 10
rickshaw bajaji bajaji 10
car gari magari 6
truck lori malori 6
"""

NOUN_AGREEMENT = {
    "2": {"how_many": "wangapi", "other": "wengine", "sees": "anawaona"},
    "4": {"how_many": "mingapi", "other": "mingine"},
    "6": {"how_many": "mangapi", "other": "mengine", "sees": "anaona", "they_have": "Yana"},
    "8": {"how_many": "vingapi", "other": "vingine"},
    "10": {"how_many": "ngapi", "other": "nyingine", "sees": "anaona", "they_have": "Zina"},
}
NAME_AGREEMENT = {"m": {}, "f": {}}

FRAMES = {
    "has": ("{a} ana {x.many} {n}.",),
    "finds": ("{a} anapata {x.many} {x.other} {m}.",),
    "buys": ("{a} ananunua {x.many} {x.other} {m}.",),
    "loses": ("{a} anapoteza {x.many} {m}.",),
    "sells": ("{a} anauza {x.many} {m}.",),
    "gives": ("{a} anampa {b} {x.many} {m}.",),
    "boxes": ("Kuna masanduku {n} na katika kila sanduku kuna {x.many} {m}.",),
    "daily": ("{a} ananunua {x.many} {n} kila siku.",),
    "sees": ("{a} {x.sees} {x.many} {n}.",),
    "ask_now": ("{a} ana {x.many} {x.how_many} sasa?",),
    "ask_left": ("{a} amebaki na {x.many} {x.how_many}?",),
    "ask_together": ("{a} na {b} wana {x.many} {x.how_many} kwa pamoja?",),
    "ask_more": ("{a} ana {x.many} {x.how_many} zaidi kuliko {b}?",),
    "ask_boxes": ("Kuna {x.many} {x.how_many} kwa jumla?",),
    "ask_days": ("{a} ananunua {x.many} {x.how_many} kwa siku {m}?",),
    "ask_legs": ("Wana miguu mingapi kwa jumla?",),
    "ask_wheels": ("{x.they_have} magurudumu mangapi kwa jumla?",),
}
