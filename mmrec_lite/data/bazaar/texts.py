"""Bazaar's words: descriptions, titles, reviews, and the captions the small CLIP model is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmrec_lite.data.bazaar import phrases as p
from mmrec_lite.data.bazaar import vocabulary as v
from mmrec_lite.data.bazaar.world import GROUP_NAMES, IMPORTANCE, World

# how often a description mentions an attribute; the category is always there
_MENTION = {"shape": 0.85, "theme": 0.9, "material": 0.95, "brand": 0.92, "use": 0.92, "quality": 0.88}
# Every mention of the category makes texts of one category more alike, whatever else they say: few sentences name it.
_NAME_THE_THING = 0.12
MAX_SENTENCES = 8


@dataclass(frozen=True)
class Texts:
    """All texts as sentences: ``items[i]`` and ``reviews[r]`` are lists of them, to be joined by spaces."""

    titles: list[str]
    items: list[list[str]]
    reviews: list[list[str]]


def write_texts(world: World) -> Texts:
    """Write every text of the shop, deterministic in the world's seed; no two items get the same description."""
    rng = np.random.default_rng([world.seed, 100])
    facts = [_facts(world, i) for i in range(world.settings.items)]
    items: list[list[str]] = []
    told: set[frozenset[str]] = set()
    for fact in facts:
        sentences = _describe(rng, fact)
        while frozenset(sentences) in told:  # the same sentences in another order would be no other description
            sentences = _describe(rng, fact)
        told.add(frozenset(sentences))
        items.append(sentences)
    titles = [_title(rng, fact) for fact in facts]
    return Texts(titles, items, _write_reviews(world, facts))


def indefinite(words: str) -> str:
    """The words with their article."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _facts(world: World, item: int) -> dict[str, str]:
    """The words for an item's attributes, whether a text may use them or not."""
    a = {name: int(values[item]) for name, values in world.attributes.items()}
    thing = v.CATEGORIES[a["category"]]
    materials = v.MATERIALS_SOFT if thing in v.SOFT else v.MATERIALS_HARD
    return {
        "thing": thing,
        "category": thing,
        "shape": p.SHAPE_WORDS[thing][a["shape"] % v.SHAPES_PER_CATEGORY],
        "shape_word": v.SHAPES[thing][a["shape"] % v.SHAPES_PER_CATEGORY],
        "theme": p.THEME_WORDS[a["theme"]],
        "the_theme": p.THEME_FRIENDS[a["theme"]],
        "emblem": p.EMBLEM_WORDS[a["theme"]],
        "material": materials[a["material"]],
        "brand": v.BRANDS[a["brand"]],
        "place": p.BRAND_PLACE[a["brand"]],
        "use": v.USES[a["use"]],
        "quality": v.QUALITIES[a["quality"]],
        "hue": v.HUES[a["hue"]],
        "pattern": p.REVIEW_WORDS["pattern"][a["pattern"]],
        "tone": v.TONES[a["tone"]],
    }


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[rng.integers(len(choices))]


def _describe(rng: np.random.Generator, fact: dict[str, str]) -> list[str]:
    """Three to eight different sentences: an opening, most of the facts alone or in pairs, sometimes an aside."""
    use, quality = v.USES.index(fact["use"]), v.QUALITIES.index(fact["quality"])
    tell = {name for name, often in _MENTION.items() if rng.random() < often}
    body: list[str] = []
    if {"material", "quality"} <= tell and rng.random() < 0.15:
        body.append(p.MATERIAL_QUALITY[quality])
        tell -= {"material", "quality"}
    if {"brand", "use"} <= tell and rng.random() < 0.15:
        body.append(p.BRAND_USE[use])
        tell -= {"brand", "use"}
    short = rng.random() < 0.25  # a short text says "A handmade mug." rather than two sentences
    forms = {
        "theme": (p.THEME, p.THEME_THING),
        "material": (p.MATERIAL, p.MATERIAL_THING),
        "brand": (p.BRAND, p.BRAND_THING),
        "use": (p.USE[use], p.USE_THING[use]),
        "quality": (p.QUALITY[quality], p.QUALITY_THING[quality]),
    }
    body += [_pick(rng, two[int(rng.random() < _NAME_THE_THING)]) for name, two in forms.items() if name in tell]
    opening = _pick(rng, p.SHAPE if "shape" in tell else p.CATEGORY)
    if not short:
        body += [_pick(rng, p.CATEGORY_EXTRA[fact["thing"]])] * (rng.random() < 0.2)
        body += [_pick(rng, p.FILLER)] * (rng.random() < 0.2)
        body += [_pick(rng, forms[name][0]) for name in ("material", "brand", "use", "quality") if rng.random() < 0.25]
    rng.shuffle(body)
    body.insert(0 if rng.random() < 0.7 else int(rng.integers(len(body) + 1)), opening)
    while len(body) < 3:
        body.append(_pick(rng, p.FILLER if rng.random() < 0.5 else p.CATEGORY_EXTRA[fact["thing"]]))
    words = dict(fact)
    for name in ("shape", "thing", "emblem"):
        words[f"a_{name}"] = indefinite(fact[name])
        words[f"A_{name}"] = words[f"a_{name}"].capitalize()
    sentences = [sentence.format(**words) for sentence in body[:MAX_SENTENCES]]
    return list(dict.fromkeys(sentences)) if len(set(sentences)) >= 3 else _describe(rng, fact)


def _title(rng: np.random.Generator, fact: dict[str, str]) -> str:
    name, thing = _pick(rng, p.NAMES), fact["thing"]
    forms = (
        f"{name}, {indefinite(fact['shape_word'])} {thing}" if fact["shape_word"] != "armchair" else f"{name} armchair",
        f"{fact['brand']} {name} {thing}",
        f"{thing.capitalize()} {name}",
        f"{name} {thing} in {fact['material']}",
    )
    return forms[rng.integers(len(forms))]


# ---------------------------------------------------------------- reviews


def _write_reviews(world: World, facts: list[dict[str, str]]) -> list[list[str]]:
    """One review an interaction: an opening that fits the stars and what matters to this user about this item."""
    rng = np.random.default_rng([world.seed, 101])
    names, matters, liking = _aspects(world)
    reviews = []
    for row, (item, stars) in enumerate(zip(world.item, world.rating, strict=True)):
        weight = matters[row]
        count = 1 + int(rng.random() < 0.45)
        aspects = rng.choice(len(names), size=count, replace=False, p=weight / weight.sum())
        sentences = [_aspect(rng, names[k], facts[item], liking[row, k]) for k in aspects]
        if rng.random() < 0.7:
            sentences.insert(0, _pick(rng, p.REVIEW_OPEN[int(stars)]))
        if rng.random() < 0.25:
            sentences.append(_pick(rng, p.REVIEW_CLOSE))
        reviews.append(sentences)
    return reviews


def _aspects(world: World) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Attribute names, (N, A) how much each matters to the user of a row and (N, A) how much its value is liked."""
    names, matters, liking = [], [], []
    for column, group in enumerate(GROUP_NAMES):
        offset = 0
        for name, size in v.GROUPS[group].items():
            taste = world.tastes[group][:, :, offset : offset + size].mean(axis=1)
            values = world.attributes[name][world.item]
            names.append(name)
            liking.append(taste[world.user, values])
            attention = world.weights[world.user, column] ** 2 * IMPORTANCE[name]
            matters.append(attention * (0.2 + np.abs(liking[-1])))
            offset += size
    return names, np.stack(matters, axis=1) + 1e-6, np.stack(liking, axis=1)


def _aspect(rng: np.random.Generator, name: str, fact: dict[str, str], liking: float) -> str:
    good, bad = p.REVIEW[name]
    if name in ("use", "quality"):
        values = v.USES if name == "use" else v.QUALITIES
        x = p.REVIEW_WORDS[name][values.index(fact[name])]
    elif name == "shape":
        x = indefinite(fact["shape"])
    else:
        x = fact["emblem" if name == "theme" else name]
    sentence = _pick(rng, good if liking > 0 else bad).format(x=x, a_x=indefinite(x))
    return sentence[0].upper() + sentence[1:]


# ---------------------------------------------------------------- the photographer's captions

_CAPTION_SHAPES = {"peaked": "peaked cap", "boot": "ankle boot", "doctor's": "doctors bag"}
_HUE_SYNONYMS = ("scarlet", "tangerine", "golden", "emerald", "turquoise", "azure", "violet", "rosy")
_PATTERN_SYNONYMS = ("unpatterned", "stripes", "dots", "chequered", "zigzags", "harlequin")
_TONE_SYNONYMS = ("pastel", "bright", "dark")
# Hue and shape alone tell most pictures of a batch apart; a model that always reads them never looks at the pattern.
_CAPTION_MENTION = {"tone": 0.35, "hue": 0.35, "pattern": 0.9, "shape": 0.35, "category": 0.35, "theme": 0.7}
_THEME_SYNONYMS = ("ocean", "woodland", "starry", "song", "romance")


def caption(world: World, item: int, rng: np.random.Generator) -> str:
    """What a photographer would note under the picture: common AND image-only facts, never a text-only one.

    The catalogue's texts do not name colour or pattern, so a CLIP model trained on them would not learn to see
    these; the captions are made for that training only and are in no table of the shop. Each call may leave facts
    out and use other words.
    """
    a = {name: int(values[item]) for name, values in world.attributes.items()}
    thing = v.CATEGORIES[a["category"]]
    shape = v.SHAPES[thing][a["shape"] % v.SHAPES_PER_CATEGORY]
    themes = (f"with a {v.EMBLEMS[a['theme']]}", f"{_THEME_SYNONYMS[a['theme']]} theme",
              f"{v.THEMES[a['theme']]} theme {v.EMBLEMS[a['theme']]}")  # fmt: skip
    words = {
        "tone": (v.TONES, _TONE_SYNONYMS)[int(rng.random() < 0.3)][a["tone"]],
        "hue": (v.HUES, _HUE_SYNONYMS)[int(rng.random() < 0.3)][a["hue"]],
        "pattern": (v.PATTERNS, _PATTERN_SYNONYMS)[int(rng.random() < 0.3)][a["pattern"]],
        "shape": _CAPTION_SHAPES.get(shape, shape),
        "category": thing,
        "theme": themes[rng.integers(3)],
    }
    told = [word for name, word in words.items() if rng.random() < _CAPTION_MENTION[name]]
    return " ".join(told) or thing


def caption_vocabulary() -> list[str]:
    """The words of all captions, each once, without the little ones: what a picture may be said to show."""
    words: list[str] = []
    for table in (v.CATEGORIES, v.HUES, _HUE_SYNONYMS, v.PATTERNS, _PATTERN_SYNONYMS, v.TONES, _TONE_SYNONYMS,
                  v.THEMES, v.EMBLEMS, _THEME_SYNONYMS):  # fmt: skip
        words += table
    words += [_CAPTION_SHAPES.get(shape, shape) for shapes in v.SHAPES.values() for shape in shapes]
    return list(dict.fromkeys(words))
