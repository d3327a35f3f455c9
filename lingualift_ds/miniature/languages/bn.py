"""Bengali: verb-final, a classifier after the number, case endings on persons, no plural after numbers."""

CASES = ("of", "to")

NAMES = """
Sara সারা f সারার সারাকে
Omar ওমর m ওমরের ওমরকে
Nina নীনা f নীনার নীনাকে
David ডেভিড m ডেভিডের ডেভিডকে
Maria মারিয়া f মারিয়ার মারিয়াকে
Ravi রবি m রবির রবিকে
Leo লিও m লিওর লিওকে
Asha আশা f আশার আশাকে
"""

NOUNS = """
apple আপেল আপেল -
book বই বই -
pen কলম কলম -
cup কাপ কাপ -
egg ডিম ডিম -
ball বল বল -
chair চেয়ার চেয়ার -
mango আম আম -
flower ফুল ফুল -
stone পাথর পাথর -
shirt জামা জামা -
key চাবি চাবি -
bird পাখি পাখি -
hen মুরগি মুরগি -
cat বিড়াল বিড়াল -
goat ছাগল ছাগল -
ant পিঁপড়া পিঁপড়া -
spider মাকড়সা মাকড়সা -
bicycle সাইকেল সাইকেল -
rickshaw রিকশা রিকশা -
car গাড়ি গাড়ি -
truck ট্রাক ট্রাক -
"""

NOUN_AGREEMENT = {"-": {}}
NAME_AGREEMENT = {"m": {}, "f": {}}

FRAMES = {
    "has": ("{a.of} কাছে {n}টি {x.many} আছে।",),
    "finds": ("{a} আরও {m}টি {x.many} পায়।",),
    "buys": ("{a} আরও {m}টি {x.many} কেনে।",),
    "loses": ("{a} {m}টি {x.many} হারায়।",),
    "sells": ("{a} {m}টি {x.many} বিক্রি করে।",),
    "gives": ("{a} {b.to} {m}টি {x.many} দেয়।",),
    "boxes": ("{n}টি বাক্স আছে এবং প্রতিটি বাক্সে {m}টি {x.many} আছে।",),
    "daily": ("{a} প্রতিদিন {n}টি {x.many} কেনে।",),
    "sees": ("{a} {n}টি {x.many} দেখে।",),
    "ask_now": ("এখন {a.of} কাছে কয়টি {x.many} আছে?",),
    "ask_left": ("{a.of} কাছে কয়টি {x.many} বাকি আছে?",),
    "ask_together": ("{a} ও {b.of} কাছে একসাথে কয়টি {x.many} আছে?",),
    "ask_more": ("{a.of} কাছে {b.of} চেয়ে কয়টি {x.many} বেশি আছে?",),
    "ask_boxes": ("মোট কয়টি {x.many} আছে?",),
    "ask_days": ("{a} {m} দিনে কয়টি {x.many} কেনে?",),
    "ask_legs": ("তাদের মোট কয়টি পা আছে?",),
    "ask_wheels": ("সেগুলোর মোট কয়টি চাকা আছে?",),
}
