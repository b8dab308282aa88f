"""Short, simple stories on request.

Called by corpus.py. Not run by itself. `story` draws one (request, story) pair; the hero that the
request names is the hero of the story.
"""

from random import Random

HEROES = ("fox cat dog bear owl mouse rabbit dragon robot bee ant wizard knight girl boy sailor "
          "horse penguin turtle frog wolf lion king queen farmer baker fish bird squirrel ghost "
          "pirate princess spider elephant giraffe train boat cloud star tree computer").split()
TRAITS = "little old brave shy clever lonely happy curious hungry tired kind lazy quiet".split()
PLACES = ("by the sea|in a forest|in a small village|on a hill|in a big city|near a river|"
          "in a cave|"
          "under an old bridge|on an island|in a garden|in a castle|at the edge of the desert")
WANTS = [
    ("find a friend", "met a {b} who was lonely too", "From then on they were never alone again"),
    ("see the moon up close", "climbed the highest hill with a {b}",
     "The moon was still far away, but the view was beautiful"),
    ("bake the best bread", "asked a {b} for help", "The bread was so good that everyone came"),
    ("cross the wide river", "found a {b} with a raft", "On the other side they danced for joy"),
    ("carry a heavy stone home", "asked many friends, and each carried a small piece",
     "Together they had done what nobody could do alone"),
    ("learn to sing", "listened to a {b} every morning",
     "One day the whole valley stopped to listen"),
    ("find the lost key", "followed the tracks of a {b}",
     "The key had been in the pocket all along"),
    ("win the great race", "stopped to help a {b} on the way",
     "It came last, but the crowd cheered the loudest"),
    ("build a house", "worked all summer with a {b}", "When the snow came, it was warm inside"),
    ("send a letter to a far land", "gave it to a {b}, who passed it on to the next",
     "From hop to hop it travelled, and it arrived before the winter"),
]
REQUESTS = [
    "Tell me a story about a {h}.", "tell me a story about a {h}",
    "Tell me a short story about a {h}.",
    "Please tell me a story about a {h}", "Write a story about a {h}.",
    "write a short story about a {h}",
    "Can you tell me a story about a {h}?", "a story about a {h} please",
    "I want a story about a {h}",
    "Make up a story about a {h}.", "Do you know a story about a {h}?", "story about a {h}",
    "Tell my child a story about a {h}.", "Give me a little story about a {h}.",
]
OPEN_REQUESTS = [
    "Tell me a story.", "tell me a story", "Please tell me a story", "Can you tell me a story?",
    "Write a short story.", "I am bored, tell me a story", "a bedtime story please", "Story time!",
    "tell me a tale", "Do you know a story?", "Entertain me.", "story please",
]

LATE_REQUESTS = [
    "Tell a story with a {h}.", "a tale of a {h}", "Tell me a tale about a {h}",
    "once upon a time a {h}",
    "I would like to hear a story about a {h}.", "My daughter wants a story about a {h}",
    "a bedtime story with a {h}, please", "Could you invent a story about a {h}?",
    "Let us hear something about a {h}", "a fairy tale about a {h}",
    "Write me a tale with a {h} in it",
    "Have you got a story with a {h}?", "I like stories, tell me one about a {h}",
]


def _article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def late_story(rng: Random) -> tuple[str, str]:
    """As `story`, asked for in the wordings of the finishing phase."""
    return story(rng, LATE_REQUESTS)


def story(rng: Random, requests: list[str] = REQUESTS) -> tuple[str, str]:
    """One request and a story of four sentences."""
    hero, helper = rng.sample(HEROES, 2)
    trait, place = rng.choice(TRAITS), rng.choice(PLACES.split("|"))
    want, deed, end = rng.choice(WANTS)
    asked = rng.random() < 0.8
    request = rng.choice(requests if asked else OPEN_REQUESTS).replace("a {h}", _article(hero))
    deed = deed.replace("a {b}", _article(helper))
    text = (
        f"Once upon a time, {_article(trait)} {hero} lived {place}. "
        f"The {hero} wanted to {want}. So the {hero} {deed}. {end}."
    )
    return request.lower() if rng.random() < 0.25 else request, text
