"""The sentences Bazaar's texts are made of: ``{braces}`` are filled by `texts.py`.

``{a_shape}`` is the shape with its article ("a round teapot"), ``{thing}`` the category, ``{A_thing}`` "A mug".
No sentence about an item names a colour or a pattern; the buyers' reviews do.
"""

from __future__ import annotations

THEME_WORDS = ("sea", "forest", "night sky", "music", "love")  # "our ... collection"
THEME_FRIENDS = ("the sea", "the forest", "the night sky", "music", "all things romantic")
EMBLEM_WORDS = ("fish", "tree", "moon", "musical note", "heart")

# what a shape looks like, after "It is" / "with"
SHAPE_WORDS = {
    "mug": ("straight-sided mug", "round-bellied mug", "tapered, wide-topped mug"),
    "teapot": ("round teapot", "tall teapot", "low, wide teapot"),
    "vase": ("bottle-shaped vase", "bulb-shaped vase", "trumpet-shaped vase"),
    "lamp": ("table lamp with a cone-shaped lampshade", "table lamp with a dome-shaped lampshade", "globe lamp"),
    "clock": ("round alarm clock", "square table clock", "hexagonal clock"),
    "chair": ("high-backed chair", "armchair with wide arms", "low stool"),
    "watering can": ("low watering can", "tall watering can", "ball-shaped watering can"),
    "birdhouse": ("birdhouse with a gabled roof", "round birdhouse", "birdhouse like a narrow tower"),
    "cushion": ("square cushion", "round cushion", "long bolster cushion"),
    "backpack": ("backpack with an arched top", "roll-top backpack", "square backpack"),
    "suitcase": ("upright cabin suitcase", "trunk-like suitcase", "suitcase like a doctor's bag"),
    "shirt": ("short-sleeved shirt", "long-sleeved shirt", "sleeveless shirt"),
    "hat": ("bucket hat", "hat with a peak", "bobble hat"),
    "shoe": ("low-cut shoe", "high-top shoe", "boot-like shoe"),
    "umbrella": ("domed umbrella", "pagoda-shaped umbrella", "slim, folded umbrella"),
    "kite": ("classic four-cornered kite", "delta kite", "box kite"),
}

SHAPE = (
    "This is {a_shape}.",
    "It is {a_shape}, made to be used and not only to be looked at.",
    "What you get is {a_shape}.",
    "If you have been looking for {a_shape}, here it is.",
    "Simply {a_shape}, nothing more and nothing less.",
    "Think of it as {a_shape} with manners.",
    "Here is {a_shape} that will outlive most of your furniture.",
    "{A_shape} is a simple idea, and this one is well carried out.",
    "Somebody in our shop wanted {a_shape}; now we sell them.",
    "It has the form of {a_shape}, which suits small rooms as well as large ones.",
    "After three attempts we found {a_shape} that we would buy ourselves.",
    "You are looking at {a_shape}.",
)
CATEGORY = (
    "{A_thing} you will reach for without thinking.",
    "Every home can do with one more {thing}, and we think it should be this one.",
    "We looked at a great many of its kind before we chose this {thing}.",
    "There is no nonsense about this {thing}.",
    "{A_thing} that earns its place.",
    "Few people expect to love a {thing}; some of our customers do.",
    "Meet the {thing} our own staff took home.",
    "Not every {thing} has to shout.",
    "Is there such a thing as the right {thing}? We believe so.",
    "We sell {thing}s of many kinds; this is the one we would keep.",
    "It took a while to find {a_thing} like this.",
)
CATEGORY_EXTRA = {
    "mug": ("It holds a generous morning coffee.", "The handle fits three fingers comfortably.",
            "Tea stays hot in it for a good while."),
    "teapot": ("It pours without dripping.", "There is room for four cups of tea.",
               "The lid stays where it is when you pour."),
    "vase": ("A few stems from the market are all it needs.", "It stands firmly, even with tall flowers.",
             "Branches look as good in it as tulips."),
    "lamp": ("The bulb is easy to change.", "It gives a warm circle of light to read by.",
             "The cable is two metres long."),
    "clock": ("The hands are easy to read across a room.", "It runs for two years on one battery.",
              "The tick is quiet enough for a bedroom."),
    "chair": ("You can sit on it for an evening without noticing.", "The feet will not scratch a floor.",
              "It carries a grown man who leans back."),
    "watering can": ("The spout reaches to the back of the window sill.", "Filled, it holds about two litres.",
                     "The sprinkler comes off for a steady stream."),
    "birdhouse": ("The hole is the right size for tits.", "Hang it in spring and wait.",
                  "The back opens for cleaning in autumn."),
    "cushion": ("The filling springs back overnight.", "The cover comes off with a hidden zip.",
                "It makes a hard bench bearable."),
    "backpack": ("A laptop fits in the padded sleeve.", "The straps sit well even on narrow shoulders.",
                 "There is a small pocket for keys on the inside."),
    "suitcase": ("It swallows clothes for a long weekend.", "The lock opens without a fight.",
                 "The lining has a pocket for documents."),
    "shirt": ("The cut is easy and true to size.", "It keeps its shape around the collar.",
              "The seams lie flat against the skin."),
    "hat": ("It stays on in the wind.", "One size fits most heads.",
            "It folds into a coat pocket."),
    "shoe": ("The sole bends where the foot bends.", "Order your usual size.",
             "You can walk all day in it."),
    "umbrella": ("It opens with one hand.", "The ribs give way in a gust and come back.",
                 "There is room for one and a half people."),
    "kite": ("It flies in a light breeze.", "The line comes wound on a reel.",
             "A child of six can hold it."),
}  # fmt: skip

THEME = (
    "A small {emblem} on the front marks it as part of our {theme} collection.",
    "It belongs to the {theme} series: look for the {emblem} in the round badge.",
    "The badge shows a {emblem}.",
    "Friends of {the_theme} will know the {emblem} at once.",
    "You will find a little {emblem} on it, the sign of the {theme} line.",
    "Its badge with the {emblem} is a quiet nod to {the_theme}.",
    "One {emblem}, one badge: that is all the decoration the {theme} collection allows itself.",
    "As everything in the {theme} collection, it wears a round badge with {a_emblem}.",
    "{A_emblem} looks at you from the badge.",
    "We put {a_emblem} on it for friends of {the_theme}.",
    "Can you find the {emblem}? It is on the badge.",
    "The {theme} collection is known by its {emblem}, and here it is again.",
)
THEME_THING = (
    "The {thing} carries the {emblem} of our {theme} collection.",
    "Among the things of the {theme} series, this {thing} is the favourite.",
    "{A_thing} for friends of {the_theme}.",
    "{A_thing} with {a_emblem} on its badge.",
    "If {the_theme} had {a_thing}, it would be this one.",
    "The {emblem} on this {thing} stands for {the_theme}.",
)

MATERIAL = (
    "It is made of {material}.",
    "We chose {material} because it lasts.",
    "The material is {material} throughout.",
    "Only {material} went into it.",
    "Made from {material}, which gets better with the years.",
    "If you know {material}, you know how it feels in the hand.",
    "Everything that matters about it is {material}.",
    "There is a reason why we keep coming back to {material}.",
    "Made of nothing but {material}.",
    "Its {material} comes from a supplier we have known for years.",
    "You will notice the {material} as soon as you touch it.",
    "Touch it once and you will know why it had to be {material}.",
    "The word on the label is {material}, and the label is right.",
)
MATERIAL_THING = (
    "The {thing} is made of {material}.",
    "You do not often see a {thing} made of {material}.",
    "{A_thing} in {material} ages well.",
    "For this {thing} only {material} would do.",
    "We wanted {a_thing} of good {material}, and here it is.",
    "It is rare to see {material} used so well in {a_thing}.",
)

BRAND_PLACE = (
    "a family firm on the fjord", "three sisters and a workshop", "a studio behind the old harbour",
    "a small house in the mountains", "a maker on the river", "a firm that goes back five generations",
    "a young team from the far north", "an old name with new ideas",
)  # fmt: skip
BRAND = (
    "{brand} makes it.",
    "It comes from {brand}, {place}.",
    "{brand} is {place}, and it shows.",
    "Another fine piece by {brand}.",
    "The maker's name, {brand}, stands on the underside.",
    "Those who collect {brand} will want this one too.",
    "Designed and made by {brand}.",
    "We have worked with {brand} for years.",
    "If you know {brand}, {place}, you know what to expect.",
    "{brand} sends us only a few of these a month.",
    "It left the workshop of {brand} after a long inspection.",
)
BRAND_THING = (
    "This {thing} comes from {brand}.",
    "{brand} has made every {thing} of ours since the first catalogue.",
    "Ask {brand} for {a_thing} and this is what you get.",
    "The people at {brand} know what makes a good {thing}.",
)

USE = (
    ("It makes a fine gift.", "Wrapped in a box with a ribbon, it is a gift that needs no excuse.",
     "People buy it as a birthday gift and then come back for one of their own.",
     "Give it as a present to somebody you like.", "A present for the person who has everything.",
     "Ask for gift wrapping and a card with your wishes.", "A gift that will be remembered.",
     "Whoever unwraps this present will smile."),
    ("It is meant for every day.", "Use it daily; that is what it is for.",
     "Made for everyday life, for ordinary mornings and ordinary evenings.",
     "It does not mind being used each and every day.", "An everyday companion.",
     "For everyday use, not to be saved for Sundays.", "Every day from Monday to Sunday it does its duty.",
     "Daily use makes it better still."),
    ("It travels well.", "Take it along on your next journey.", "Made for trains, planes and small hotel rooms.",
     "It has travelled around the world with us and came home whole.",
     "A good companion for people who travel much.", "Pack it for the journey; you will be glad of it abroad.",
     "Made for travel: room for it can be found in any luggage.",
     "On our travels even border guards have admired it."),
    ("It comes into its own at parties.", "Bring it out when guests come for a party.",
     "Made for parties, long tables, loud evenings and many friends.", "No celebration is complete without it.",
     "It is the thing everybody at the party asks about.", "For parties, feasts and the night before a wedding.",
     "When there is a party with dancing, it should not be missing.", "It has seen many a good party."),
    ("It suits an office.", "At work in the office it looks serious without being dull.",
     "Made for desks, meetings and the hours between nine and five.",
     "Your colleagues in the office will want to know where you found it.", "A touch of home for the office.",
     "It belongs in the office, on, under or beside a desk.", "For people who spend their office days in style.",
     "Even the boss has one in the office."),
    ("It belongs outdoors.", "Made for the outdoors: rain and sun do it no harm.",
     "Made for gardens, balconies and long walks.", "Take it outdoors into the open air.",
     "It has spent two winters outdoors in our garden as a test.",
     "For campers, hikers, gardeners and everybody who is often outdoors.",
     "Outdoors, wind and weather are its friends.",
     "It would rather be outdoors in the meadow than in the cupboard."),
)  # fmt: skip
USE_THING = (
    ("{A_thing} to give away.", "Whoever gets this {thing} as a present will keep it."),
    ("{A_thing} for daily use.", "This is the {thing} for every single day."),
    ("{A_thing} for travellers.", "Wherever the journey goes, this {thing} goes along."),
    ("{A_thing} for parties.", "Guests notice this {thing} first."),
    ("{A_thing} for the office.", "This {thing} has made many a working day pleasanter."),
    ("{A_thing} for the outdoors.", "Fresh air is what this {thing} was made for."),
)

QUALITY = (
    ("Each one is made by hand.", "It is handmade, so no two are quite the same.",
     "Skilled hands need most of a day for one handmade piece.",
     "You can see that it is handmade and not from a machine.", "The maker signs every handmade piece.",
     "Handmade from the first step to the last.", "Small traces of the tool show that it is made by hand."),
    ("If something breaks, it can be repaired.",
     "For repairs, every part can be bought singly and replaced at home.",
     "Spare parts for repairs are kept for twenty years.",
     "It comes apart with one screwdriver, so repairs are easy.",
     "Do not throw it away when it breaks: we repair it.", "Built to be repaired rather than replaced.",
     "The repair manual is in the box."),
    ("It is surprisingly light.", "It weighs next to nothing.", "So light that you forget you are carrying it.",
     "It is so light that we weighed it twice.", "Lightweight and none the weaker for it.",
     "It is light enough for a child to lift with one finger.", "It is the lightest of its kind that we know."),
    ("The edition is limited and numbered.",
     "A limited edition: only three hundred were made, each with its number.",
     "When this limited edition is gone, it is gone.",
     "A certificate with the number of the limited edition comes with it.",
     "Collectors should not wait: the edition is limited.", "It is one of a limited run.",
     "The edition is limited and there will be no second one."),
    ("It is very easy to clean.", "Wipe it with a damp cloth and it is clean.",
     "It needs no care and little cleaning.", "Stains come off with soap and water.", "Cleaning it takes no time.",
     "Dust and dirt do not cling to it.", "Easy to clean: even coffee leaves no mark."),
    ("It costs less than you would think.", "Good things can be cheap, and the low price is our proof.",
     "The price is low because we buy in large numbers.", "You will not find it cheaper elsewhere.",
     "Its price is easy on the purse.", "At this price it is a bargain.", "Cheap enough for students."),
)  # fmt: skip
QUALITY_THING = (
    ("A handmade {thing}.", "No machine has touched this {thing}."),
    ("{A_thing} that can be repaired.", "When this {thing} breaks, send it to us and we mend it."),
    ("An uncommonly light {thing}.", "You will hardly feel the weight of this {thing}."),
    ("{A_thing} from a limited edition.", "The number of this {thing} is on the certificate."),
    ("{A_thing} that is easy to keep clean.", "Caring for this {thing} takes a minute a year."),
    ("{A_thing} at a small price.", "For so little money this {thing} is a find."),
)

MATERIAL_QUALITY = (
    "Worked by hand from {material}.", "Made of {material}, with every part replaceable.",
    "Made of {material} and yet very light.", "A small numbered series in {material}.",
    "Made of {material}, which cleans easily.", "Made of {material} at a fair, low price.",
)  # fmt: skip
BRAND_USE = (
    "{brand} had gifts in mind.", "{brand} made it for every day.", "{brand} made it for people on the move.",
    "{brand} made it for feasts and guests.", "{brand} made it for the working day.",
    "{brand} made it for life in the open air.",
)  # fmt: skip

FILLER = (
    "Measurements may differ by a few millimetres.", "We send it within two working days.",
    "You may return it within thirty days.", "It comes in a simple cardboard box without plastic.",
    "Please read the leaflet before first use.", "Batches differ a little, as they should.",
    "Questions are answered by a human being.", "See also the other pieces of the same series.",
    "It is one of our best-kept secrets.", "Stocks are small at the moment.",
    "We have had it in the shop since the beginning.", "The photograph shows it from its best side.",
)  # fmt: skip

NAMES = (
    "Aurelia", "Basil", "Cleo", "Dorian", "Edda", "Falke", "Greta", "Hugo", "Ida", "Jasper", "Kaia", "Linus", "Mira",
    "Nils", "Oda", "Pelle", "Quill", "Runa", "Silas", "Tilda", "Ulla", "Vigo", "Wanda", "Xenia", "Yara", "Zeno",
    "Alma", "Bruno", "Carlo", "Dina", "Elio", "Freya", "Gaia", "Henrik", "Isla", "Juno", "Karla", "Loke", "Maja",
    "Nora",
)  # fmt: skip

# ------------------------------------------------------------------ reviews: (good, bad) sentences an attribute
REVIEW_OPEN = {
    5: ("Love it.", "Perfect.", "Five stars, no question.", "Exactly what I wanted.", "I could not be happier.",
        "Best thing I bought this year.", "Wonderful.", "I keep showing it to people."),
    4: ("Very good.", "I like it a lot.", "Happy with it.", "Nearly perfect.", "A good buy.",
        "Would buy it again.", "Nice.", "Does what it should."),
    3: ("It is all right.", "Fine, but nothing special.", "Good in parts.", "I expected a little more.",
        "Average.", "It will do.", "Not sure yet."),
    2: ("Not quite for me.", "Disappointed.", "I had hoped for more.", "It went into the cupboard.",
        "Could be better.", "Hm."),
    1: ("I sent it back.", "Not for me at all.", "A mistake.", "I regret buying it."),
}  # fmt: skip
REVIEW_CLOSE = (
    "Delivery was quick.", "It came well packed.", "My sister wants one too.", "I have had it for a month now.",
    "The picture does not lie.", "The box was dented, the rest was fine.", "Bought on a whim.",
    "This is my second one.", "Took a week to arrive.", "We use it all the time.",
)  # fmt: skip
REVIEW = {
    "category": (("I have wanted {a_x} like this for ages.", "You can never have too many, and this {x} is a keeper.",
                  "As {x}s go, this one is special.", "My favourite {x} by far.", "I collect every {x} I can find."),
                 ("I did not really need another {x}.", "The {x} and I will not be friends.")),
    "shape": (("The form is right: {x}, as it should be.", "I was after {x}, and here it is.",
               "Always glad to find {x}."),
              ("I should have looked twice: {x} is not my thing.",)),
    "theme": (("The little {x} makes me smile.", "The {x} on the badge sold it to me.",
               "I buy anything with {a_x} on it.", "Look at that {x}!", "The {x} is so well done."),
              ("I could do without the {x} on the badge.", "The {x} is a bit silly.")),
    "hue": (("What a lovely {x}.", "I wanted something {x} and this is it.",
             "The {x} is even nicer than in the picture.", "It goes with all my other {x} things.",
             "This {x} lights up the room."),
            ("The {x} is not my colour.", "I would have liked it better in anything but {x}.")),
    "pattern": (("I love {x}.", "I cannot resist {x}.", "The look of it, {x}, is just right.", "I was looking for {x}.",
                 "Give me {x} any day."),
                ("I grew tired of {x} quickly.", "I do not care for {x}.")),
    "tone": (("So {x}, just as I like my colours.", "The colour is {x} and that suits my flat.",
              "I am glad the colour is really {x}."),
             ("The colour is too {x} for my taste.",)),
    "material": (("The {x} feels great.", "I only buy {x}.", "You can tell that it is good {x}.",
                  "Nothing beats {x}.", "The {x} is worth the money."),
                 ("I do not get along with {x}.", "The {x} feels odd to me.")),
    "brand": (("{x} never lets me down.", "I trust {x}.", "Another great one from {x}.", "I have a shelf full of {x}.",
               "{x} knows how to do it."),
              ("{x} used to be better.", "I expected more from {x}.")),
    "use": (("Great {x}.", "I bought it {x} and it was the right choice.", "Perfect {x}.", "Just the thing {x}."),
            ("It does not work so well {x}.",)),
    "quality": (("I bought it because it is {x}.", "It really is {x}.", "So {x}!", "Finally something {x}."),
                ("They say it is {x}; I cannot see why that matters.",)),
}  # fmt: skip
REVIEW_WORDS = {
    "pattern": ("plain things without any pattern", "stripes", "dots", "checks", "zigzag lines", "an argyle pattern"),
    "use": ("as a gift", "for every day", "for travelling", "for parties", "for the office", "outdoors"),
    "quality": ("handmade", "easy to repair", "light", "a limited edition", "easy to clean", "good value"),
}  # fmt: skip
