"""The miniature world's languages, one module each: tables of words and sentence frames.

Every module has the same five tables, which `world.language` reads:

NAMES      a line a person: English name, the name here, gender, then one column for each of CASES
CASES      the names of the further columns of NAMES (a genitive, a dative), often none
NOUNS      a line a noun: English noun, singular, plural, gender or noun class
NOUN_AGREEMENT / NAME_AGREEMENT   words that agree with a noun's or a person's gender or class
FRAMES     sentence frames: frame name -> one or more templates

Slots of the templates: {a} {b} persons; {x} {y} {z} nouns, always with a form ({x.many} or an
agreeing word); {n} {m} {k} {j} numbers. All numbers are 2 or more, so that no singular is needed
after them.
"""
