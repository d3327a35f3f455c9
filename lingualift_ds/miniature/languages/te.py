"""Telugu: verb-final, long plurals, verbs that agree with the person's gender."""

CASES = ("to",)

NAMES = """
Sara సారా f సారాకు
Omar ఒమర్ m ఒమర్‌కు
Nina నీనా f నీనాకు
David డేవిడ్ m డేవిడ్‌కు
Maria మరియా f మరియాకు
Ravi రవి m రవికి
Leo లియో m లియోకు
Asha ఆశా f ఆశాకు
"""

NOUNS = """
apple యాపిల్ యాపిల్స్ -
book పుస్తకం పుస్తకాలు -
pen కలం కలాలు -
cup కప్పు కప్పులు -
egg గుడ్డు గుడ్లు -
ball బంతి బంతులు -
chair కుర్చీ కుర్చీలు -
mango మామిడిపండు మామిడిపండ్లు -
flower పువ్వు పువ్వులు -
stone రాయి రాళ్ళు -
shirt చొక్కా చొక్కాలు -
key తాళంచెవి తాళంచెవులు -
bird పక్షి పక్షులు -
hen కోడి కోళ్ళు -
cat పిల్లి పిల్లులు -
goat మేక మేకలు -
ant చీమ చీమలు -
spider సాలీడు సాలీళ్ళు -
bicycle సైకిల్ సైకిళ్ళు -
rickshaw రిక్షా రిక్షాలు -
car కారు కార్లు -
truck లారీ లారీలు -
"""

NOUN_AGREEMENT = {"-": {}}
NAME_AGREEMENT = {
    "m": {
        "finds": "పొందుతాడు",
        "buys": "కొంటాడు",
        "loses": "పోగొట్టుకుంటాడు",
        "sells": "అమ్ముతాడు",
        "gives": "ఇస్తాడు",
        "sees": "చూస్తాడు",
        "pays": "చెల్లిస్తాడు",
    },
    "f": {
        "finds": "పొందుతుంది",
        "buys": "కొంటుంది",
        "loses": "పోగొట్టుకుంటుంది",
        "sells": "అమ్ముతుంది",
        "gives": "ఇస్తుంది",
        "sees": "చూస్తుంది",
        "pays": "చెల్లిస్తుంది",
    },
}

FRAMES = {
    "has": ("{a} దగ్గర {n} {x.many} ఉన్నాయి.",),
    "finds": ("{a} మరో {m} {x.many} {a.finds}.",),
    "buys": ("{a} మరో {m} {x.many} {a.buys}.",),
    "loses": ("{a} {m} {x.many} {a.loses}.",),
    "sells": ("{a} {m} {x.many} {a.sells}.",),
    "gives": ("{a} {b.to} {m} {x.many} {a.gives}.",),
    "boxes": ("{n} పెట్టెలు ఉన్నాయి, ప్రతి పెట్టెలో {m} {x.many} ఉన్నాయి.",),
    "daily": ("{a} ప్రతి రోజు {n} {x.many} {a.buys}.",),
    "sees": ("{a} {n} {x.many} {a.sees}.",),
    "ask_now": ("ఇప్పుడు {a} దగ్గర ఎన్ని {x.many} ఉన్నాయి?",),
    "ask_left": ("{a} దగ్గర ఎన్ని {x.many} మిగిలాయి?",),
    "ask_together": ("{a}, {b} దగ్గర కలిపి ఎన్ని {x.many} ఉన్నాయి?",),
    "ask_more": ("{a} దగ్గర {b} కంటే ఎన్ని {x.many} ఎక్కువ ఉన్నాయి?",),
    "ask_boxes": ("మొత్తం ఎన్ని {x.many} ఉన్నాయి?",),
    "ask_days": ("{a} {m} రోజుల్లో ఎన్ని {x.many} {a.buys}?",),
    "ask_legs": ("వాటికి మొత్తం ఎన్ని కాళ్ళు ఉన్నాయి?",),
    "ask_wheels": ("వాటికి మొత్తం ఎన్ని చక్రాలు ఉన్నాయి?",),
}
