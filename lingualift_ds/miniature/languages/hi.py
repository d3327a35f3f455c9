"""Hindi: verb-final, postpositions, past tenses that agree with the object's gender."""

CASES = ()

NAMES = """
Sara सारा f
Omar उमर m
Nina नीना f
David डेविड m
Maria मारिया f
Ravi रवि m
Leo लियो m
Asha आशा f
"""

NOUNS = """
apple सेब सेब m
book किताब किताबें f
pen पेन पेन m
cup कप कप m
egg अंडा अंडे m
ball गेंद गेंदें f
chair कुर्सी कुर्सियाँ f
mango आम आम m
flower फूल फूल m
stone पत्थर पत्थर m
shirt कमीज कमीजें f
key चाबी चाबियाँ f
bird चिड़िया चिड़ियाँ f
hen मुर्गी मुर्गियाँ f
cat बिल्ली बिल्लियाँ f
goat बकरी बकरियाँ f
ant चींटी चींटियाँ f
spider मकड़ी मकड़ियाँ f
bicycle साइकिल साइकिलें f
rickshaw रिक्शा रिक्शे m
car कार कारें f
truck ट्रक ट्रक m
"""

NOUN_AGREEMENT = {
    "m": {"how_many": "कितने", "found": "मिले", "bought": "खरीदे", "gave": "दिए", "sold": "बेचे", "saw": "देखे", "left": "बचे"},
    "f": {
        "how_many": "कितनी",
        "found": "मिलीं",
        "bought": "खरीदीं",
        "gave": "दीं",
        "sold": "बेचीं",
        "saw": "देखीं",
        "left": "बची",
    },
}
NAME_AGREEMENT = {"m": {"buys": "खरीदता"}, "f": {"buys": "खरीदती"}}

FRAMES = {
    "has": ("{a} के पास {n} {x.many} हैं।",),
    "finds": ("{a} को {m} {x.many} और {x.found}।",),
    "buys": ("{a} ने {m} {x.many} और {x.bought}।",),
    "loses": ("{a} ने {m} {x.many} खो {x.gave}।",),
    "sells": ("{a} ने {m} {x.many} {x.sold}।",),
    "gives": ("{a} ने {b} को {m} {x.many} {x.gave}।",),
    "boxes": ("{n} डिब्बे हैं और हर डिब्बे में {m} {x.many} हैं।",),
    "daily": ("{a} हर दिन {n} {x.many} {a.buys} है।",),
    "sees": ("{a} ने {n} {x.many} {x.saw}।",),
    "ask_now": ("अब {a} के पास {x.how_many} {x.many} हैं?",),
    "ask_left": ("{a} के पास {x.how_many} {x.many} {x.left} हैं?",),
    "ask_together": ("{a} और {b} के पास मिलाकर {x.how_many} {x.many} हैं?",),
    "ask_more": ("{a} के पास {b} से {x.how_many} {x.many} ज्यादा हैं?",),
    "ask_boxes": ("कुल {x.how_many} {x.many} हैं?",),
    "ask_days": ("{a} {m} दिनों में {x.how_many} {x.many} {a.buys} है?",),
    "ask_legs": ("उनके कुल कितने पैर हैं?",),
    "ask_wheels": ("उनके कुल कितने पहिए हैं?",),
}
