"""Spanish: grammatical gender in question words."""

CASES = ()

NAMES = """
Sara Sara f
Omar Omar m
Nina Nina f
David David m
Maria María f
Ravi Ravi m
Leo Leo m
Asha Asha f
"""

NOUNS = """
apple manzana manzanas f
book libro libros m
pen bolígrafo bolígrafos m
cup taza tazas f
egg huevo huevos m
ball pelota pelotas f
chair silla sillas f
mango mango mangos m
flower flor flores f
stone piedra piedras f
shirt camisa camisas f
key llave llaves f
bird pájaro pájaros m
hen gallina gallinas f
cat gato gatos m
goat cabra cabras f
ant hormiga hormigas f
spider araña arañas f
bicycle bicicleta bicicletas f
rickshaw rickshaw rickshaws m
car coche coches m
truck camión camiones m
"""

NOUN_AGREEMENT = {
    "m": {"how_many": "Cuántos"},
    "f": {"how_many": "Cuántas"},
}
NAME_AGREEMENT = {"m": {}, "f": {}}

FRAMES = {
    "has": ("{a} tiene {n} {x.many}.",),
    "finds": ("{a} encuentra {m} {x.many} más.",),
    "buys": ("{a} compra {m} {x.many} más.",),
    "loses": ("{a} pierde {m} {x.many}.",),
    "sells": ("{a} vende {m} {x.many}.",),
    "gives": ("{a} le da {m} {x.many} a {b}.",),
    "boxes": ("Hay {n} cajas con {m} {x.many} en cada caja.",),
    "daily": ("{a} compra {n} {x.many} cada día.",),
    "sees": ("{a} ve {n} {x.many}.",),
    "ask_now": ("¿{x.how_many} {x.many} tiene {a} ahora?",),
    "ask_left": ("¿{x.how_many} {x.many} le quedan a {a}?",),
    "ask_together": ("¿{x.how_many} {x.many} tienen {a} y {b} en conjunto?",),
    "ask_more": ("¿{x.how_many} {x.many} más que {b} tiene {a}?",),
    "ask_boxes": ("¿{x.how_many} {x.many} hay en total?",),
    "ask_days": ("¿{x.how_many} {x.many} compra {a} en {m} días?",),
    "ask_legs": ("¿Cuántas patas tienen en total?",),
    "ask_wheels": ("¿Cuántas ruedas tienen en total?",),
}
