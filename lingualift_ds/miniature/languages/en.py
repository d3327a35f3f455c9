"""English: the LLM's own language, with two or three paraphrases a frame, passives among them."""

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
apple apple apples -
book book books -
pen pen pens -
cup cup cups -
egg egg eggs -
ball ball balls -
chair chair chairs -
mango mango mangoes -
flower flower flowers -
stone stone stones -
shirt shirt shirts -
key key keys -
bird bird birds -
hen hen hens -
cat cat cats -
goat goat goats -
ant ant ants -
spider spider spiders -
bicycle bicycle bicycles -
rickshaw rickshaw rickshaws -
car car cars -
truck truck trucks -
"""

NOUN_AGREEMENT = {"-": {}}
NAME_AGREEMENT = {"m": {}, "f": {}}

FRAMES = {
    "has": (
        "{a} has {n} {x.many}.",
        "{n} {x.many} belong to {a}.",
        "There are {n} {x.many} with {a}.",
    ),
    "finds": (
        "{a} finds {m} more {x.many}.",
        "Then {a} finds {m} {x.many}.",
        "{m} more {x.many} are found by {a}.",
    ),
    "buys": (
        "{a} buys {m} more {x.many}.",
        "Then {a} buys {m} {x.many}.",
        "{m} more {x.many} are bought by {a}.",
    ),
    "loses": (
        "{a} loses {m} {x.many}.",
        "Then {a} loses {m} {x.many}.",
        "{m} {x.many} are lost by {a}.",
    ),
    "sells": (
        "{a} sells {m} {x.many}.",
        "Then {a} sells {m} {x.many}.",
        "{m} {x.many} are sold by {a}.",
    ),
    "gives": (
        "{a} gives {m} {x.many} to {b}.",
        "{a} gives {b} {m} {x.many}.",
        "{m} {x.many} are given to {b} by {a}.",
    ),
    "boxes": (
        "There are {n} boxes with {m} {x.many} in each box.",
        "There are {n} boxes and in each box there are {m} {x.many}.",
        "Each of {n} boxes has {m} {x.many}.",
    ),
    "daily": (
        "{a} buys {n} {x.many} every day.",
        "Every day {a} buys {n} {x.many}.",
        "Each day {n} {x.many} are bought by {a}.",
    ),
    "sees": (
        "{a} sees {n} {x.many}.",
        "{n} {x.many} are seen by {a}.",
        "Now {a} sees {n} {x.many}.",
    ),
    "ask_now": (
        "How many {x.many} does {a} have now?",
        "Now how many {x.many} does {a} have?",
        "How many {x.many} belong to {a} now?",
    ),
    "ask_left": (
        "How many {x.many} does {a} still have?",
        "How many {x.many} are left with {a}?",
        "With {a}, how many {x.many} are left?",
    ),
    "ask_together": (
        "How many {x.many} do {a} and {b} have together?",
        "{a} and {b} together have how many {x.many}?",
        "Together, how many {x.many} do {a} and {b} have?",
    ),
    "ask_more": (
        "How many more {x.many} does {a} have than {b}?",
        "How many {x.many} does {a} have more than {b}?",
        "Than {b}, {a} has how many more {x.many}?",
    ),
    "ask_boxes": (
        "How many {x.many} are there in all?",
        "In all, how many {x.many} are there?",
        "In all there are how many {x.many}?",
    ),
    "ask_days": (
        "How many {x.many} does {a} buy in {m} days?",
        "In {m} days, how many {x.many} does {a} buy?",
        "How many {x.many} are bought by {a} in {m} days?",
    ),
    "ask_legs": (
        "How many legs do they have in all?",
        "In all, how many legs do they have?",
        "In all they have how many legs?",
    ),
    "ask_wheels": (
        "How many wheels do they have in all?",
        "In all, how many wheels do they have?",
        "In all they have how many wheels?",
    ),
}
