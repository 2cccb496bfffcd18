"""The attributes of Bazaar's items and the words for them.

Three groups: COMMON attributes are drawn and told, IMAGE-ONLY ones are drawn and never told in an item's text,
TEXT-ONLY ones are told and never drawn. A value is a number everywhere; its words stand in the tables below.
"""

from __future__ import annotations

SHAPES_PER_CATEGORY = 3

CATEGORIES = (
    "mug", "teapot", "vase", "lamp", "clock", "chair", "watering can", "birdhouse",
    "cushion", "backpack", "suitcase", "shirt", "hat", "shoe", "umbrella", "kite",
)  # fmt: skip
SOFT = frozenset(CATEGORIES[8:])  # sewn things; the rest are hard: the two kinds have different materials

SHAPES = {
    "mug": ("straight", "rounded", "tapered"),
    "teapot": ("round", "tall", "low"),
    "vase": ("bottle", "bulb", "trumpet"),
    "lamp": ("cone", "dome", "globe"),
    "clock": ("round", "square", "hexagonal"),
    "chair": ("high-backed", "armchair", "stool"),
    "watering can": ("low", "tall", "ball"),
    "birdhouse": ("gabled", "round", "tower"),
    "cushion": ("square", "round", "bolster"),
    "backpack": ("arched", "roll-top", "square"),
    "suitcase": ("upright", "trunk", "doctor's"),
    "shirt": ("short-sleeved", "long-sleeved", "sleeveless"),
    "hat": ("bucket", "peaked", "bobble"),
    "shoe": ("low-cut", "high-top", "boot"),
    "umbrella": ("domed", "pagoda", "closed"),
    "kite": ("four-cornered", "delta", "box"),
}

THEMES = ("sea", "forest", "night", "music", "love")
EMBLEMS = ("fish", "tree", "moon", "note", "heart")  # the badge that is drawn for each theme

HUES = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")
PATTERNS = ("plain", "striped", "dotted", "checked", "zigzag", "argyle")
TONES = ("pale", "vivid", "deep")

MATERIALS_HARD = ("porcelain", "oak wood", "brushed steel", "recycled glass", "bamboo", "bioplastic")
MATERIALS_SOFT = ("merino wool", "organic cotton", "full-grain leather", "recycled polyester", "linen", "ripstop nylon")
BRANDS = ("Halvorsen", "Okoro", "Marigny", "Tanabe", "Brightwater", "Castellano", "Nordlys", "Pemberton")
USES = ("gift", "daily", "travel", "party", "office", "outdoor")
QUALITIES = ("handmade", "repairable", "lightweight", "limited", "easy-care", "budget")

# group -> attribute -> number of values; the shape is numbered within its category's own three
GROUPS: dict[str, dict[str, int]] = {
    "common": {"category": len(CATEGORIES), "shape": len(CATEGORIES) * SHAPES_PER_CATEGORY, "theme": len(THEMES)},
    "image_only": {"hue": len(HUES), "pattern": len(PATTERNS), "tone": len(TONES)},
    "text_only": {
        "material": len(MATERIALS_HARD),
        "brand": len(BRANDS),
        "use": len(USES),
        "quality": len(QUALITIES),
    },
}

# words that would give an image-only attribute away in an item's text (a test searches for them)
_WORDS = """
red orange yellow green teal blue purple pink crimson scarlet tangerine amber lemon golden emerald lime turquoise cyan
navy azure violet lilac lavender rose magenta black white grey gray brown colour color coloured colored colours colors
hue shade tint pastel pale vivid deep bright dark tone plain striped stripe stripes dotted dot dots spotted checked
check checks chequered zigzag zigzags diamond diamonds argyle pattern patterned patterns print printed motley
"""
IMAGE_ONLY_WORDS = frozenset(_WORDS.split())
