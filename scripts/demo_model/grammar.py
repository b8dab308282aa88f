"""Turns question templates into the many ways in which people type the same question.

Called by corpus.py, dialogues.py, scope.py, stories.py, arithmetic.py and tools.py. Not run by
itself. Every function takes the `random.Random` to draw from: a corpus is a function of its seed.

Steps: a frame around a topic or task, choices and synonyms, indirect wording, openers and endings,
asides, contractions, then the sloppiness of real typing: lower case, no question mark, dropped
words, typos.
"""

import re
from random import Random

from words import ASIDES_AFTER, ASIDES_BEFORE, FILLERS, THESAURUS

SYNONYMS = {
    "S": ["SwarmLLM"] * 5 + ["swarmllm", "Swarm LLM", "swarm-llm", "SwarmLLM"],
    "machine": ["computer", "computer", "machine", "PC", "laptop", "server", "desktop", "device"],
    "friend": ["a friend", "my friend", "a colleague", "my buddy", "someone", "a coworker",
               "my neighbour", "a mate", "somebody", "another person", "my mom", "my team"],
    "answer": ["answer", "reply", "response", "output"],
}

TOPIC_FRAMES = [
    "what is {t}", "what is {t}", "what is {t}", "what are {t}", "what's {t}", "what {t} is",
    "what does {t} mean", "what do you mean by {t}", "explain {t}", "explain {t} to me",
    "explain to me what {t} is", "define {t}", "{t}", "{t}", "tell me about {t}",
    "tell me what {t} is", "tell me something about {t}", "tell me more about {t}",
    "the meaning of {t}", "what is the meaning of {t}", "can you explain {t}",
    "can you tell me what {t} is", "could you explain what {t} is", "could you describe {t}",
    "do you know what {t} is", "I don't understand {t}", "I do not know what {t} is",
    "describe {t}", "what do you know about {t}", "give me a definition of {t}",
    "definition of {t}", "how would you explain {t} to a beginner", "{t} explained",
    "what exactly is {t}", "what is meant by {t}", "what is {t} in {S}", "what is {t} here",
    "what about {t}", "and {t}", "I keep reading about {t}, what is it",
    "somebody mentioned {t}, what is that", "I have never heard of {t}", "{t} meaning",
    "explain {t} in simple words", "explain {t} like I am five", "what does one call {t}",
    "in {S}, what is {t}", "what is this {t} thing", "how would you define {t}",
    "I want to understand {t}", "help me understand {t}", "teach me about {t}",
    "what does {t} stand for", "what does the term {t} mean", "what is {t} supposed to be",
    "what is the idea behind {t}", "what is the deal with {t}", "never understood {t}",
    "what do people mean when they say {t}", "I read about {t} in the docs",
    "could you break down {t} for me", "in plain words, what is {t}", "in plain English: {t}",
    "what is the job of {t}", "what are the basics of {t}", "where does {t} come in",
    "what should I imagine when I hear {t}", "can you say a few words about {t}",
    "what would you say {t} is", "who needs {t}", "why do you need {t}", "{t}, what does that mean",
    "somebody asked me about {t}", "what is the story with {t}", "is {t} important and what is it",
    "give me a short explanation of {t}", "I came across {t}, what does it mean",
    "what should I know about {t}", "a question about {t}", "info on {t}",
    "what role does {t} play",
    "what is the purpose of {t}", "what is {t} good for", "how does {t} work",
]

TASK_FRAMES = [
    "how do I {d}", "how do I {d}", "how do I {d}", "how can I {d}", "how can I {d}", "how to {d}",
    "how to {d}", "how would I {d}", "how does one {d}", "how do you {d}", "how should I {d}",
    "I want to {d}", "I want to {d}, what do I do", "I want to {d}, how", "I'd like to {d}",
    "I would like to {d}, how does that work", "I need to {d}", "I need to {d}, what do I type",
    "what is the command to {d}", "what command do I use to {d}", "which command lets me {d}",
    "what do I type to {d}", "what do I have to do to {d}", "what do I need to do to {d}",
    "what should I do to {d}", "what must I do to {d}", "what is the way to {d}",
    "what is the easiest way to {d}", "what is the best way to {d}", "is there a way to {d}",
    "is there a command to {d}", "is it possible to {d}", "can I {d}", "can you help me {d}",
    "could you help me to {d}", "help me {d}", "show me how to {d}", "tell me how to {d}",
    "tell me how I can {d}", "explain how to {d}", "can you tell me how to {d}",
    "could you tell me how I {d}", "do you know how to {d}", "do you know how I can {d}",
    "I don't know how to {d}", "I am trying to {d}", "I'm trying to {d}, any hint",
    "steps to {d}", "command to {d}", "give me the command to {d}", "what is needed to {d}",
    "what if I want to {d}", "how could somebody {d}", "how do we {d}", "how can we {d}",
    "please {d}", "{d}", "{d}", "we want to {d}", "where do I go to {d}", "ways to {d}",
    "what are the steps to {d}", "teach me to {d}", "my goal is to {d}", "let me {d}",
    "what would be the command to {d}", "by which command can I {d}", "what is the trick to {d}",
    "what is required to {d}", "is it hard to {d}", "how easy is it to {d}", "I'd love to {d}",
    "I have to {d}, how", "how might I {d}", "I plan to {d}", "could I {d} somehow",
    "suppose I want to {d}", "in order to {d}, what do I do", "to {d}, what should I type",
    "what are my options to {d}", "any way to {d}", "am I able to {d}", "I wish to {d}",
    "I can't figure out how to {d}", "I forgot how to {d}", "remind me how to {d}",
    "walk me through how to {d}", "what would I have to do to {d}", "we would like to {d}",
    "it would be nice to {d}, how", "what lets me {d}", "what is the right way to {d}",
    "which swarmllm command do I need to {d}", "is there something to {d}", "can one {d}",
    "how do people {d}", "how do you usually {d}", "I need help to {d}", "I'm about to {d}",
]

OPENERS = [
    "please tell me: ", "please tell me ", "hey, ", "hey ", "hi, ", "hi! ", "hello, ", "hello! ",
    "quick question: ", "one question: ", "a question: ", "question: ", "I wonder, ", "I wonder: ",
    "ok, ", "okay so ", "so, ", "so ", "and ", "sorry, ", "excuse me, ", "I am new here: ",
    "I'm new to this. ", "just curious, ", "just curious: ", "can you tell me ", "do you know ",
    "could you explain ", "tell me ", "tell me, ", "I'd like to know ", "I want to know ",
    "please explain ", "in short, ", "briefly: ", "in one sentence: ", "help: ", "well, ", "now, ",
    "good morning, ", "listen, ", "by the way, ", "say, ", "in {S}, ", "with {S}, ",
    "about {S}: ", "stupid question: ", "maybe a silly question but ", "I have a question: ",
    "I was wondering ", "for {S}: ", "um, ", "yo, ", "dear model, ", "once more: ",
]

ENDINGS = [
    " please", ", please", " pls", " thanks", ", thanks", " thank you", " exactly", " actually",
    " in {S}", " with {S}", " here", " in simple words", " in short", " briefly", " then", " again",
    " in the swarm", ", I am new", ", I'm a beginner", " or not", " at all", ", do you know",
    " today",
    ", can you tell me", " for a beginner", " right now", " really",
]

ASK_OPENERS = [
    "tell me ", "please tell me ", "can you tell me ", "could you tell me ", "explain ",
    "please explain ", "can you explain ", "I'd like to know ", "I want to know ", "I wonder ",
    "do you know ", "I was wondering ", "I don't understand ", "I am not sure ",
    "could you explain ",
    "I would like to understand ", "any idea ", "please describe ",
]

CONTRACTIONS = [
    (r"\bwhat is\b", "what's"), (r"\bdo not\b", "don't"), (r"\bdoes not\b", "doesn't"),
    (r"\bI am\b", "I'm"), (r"\bis not\b", "isn't"), (r"\bcan not\b", "can't"),
    (r"\bI would\b", "I'd"), (r"\bI have\b", "I've"), (r"\bhow is\b", "how's"),
    (r"\bwho is\b", "who's"), (r"\bwhere is\b", "where's"), (r"\bit is\b", "it's"),
]

SMALL_WORDS = {
    "a", "an", "the", "is", "are", "do", "does", "i", "my", "to", "of", "it", "you", "me", "can",
    "for", "in", "on", "and", "that", "this", "be", "with", "will", "should", "would", "please",
}

INDIRECT = [
    (r"^(how|why|where|when) do (.+)$", r"\1 \2"),
    (r"^(what|which \w+|who) (can|should|must|could|will) (I|we|you|peers) (.+)$", r"\1 \3 \2 \4"),
    (r"^(how|why|where|when) (can|should|must|could|will) (\w+) (.+)$", r"\1 \3 \2 \4"),
    (r"^can (I|we|you|it|nodes|peers|others|strangers|someone) (.+)$", r"if \1 can \2"),
    (r"^do (I|we|you|nodes|peers) (.+)$", r"whether \1 \2"),
    (r"^is (it|there|this|everything|anyone|someone) (.+)$", r"if \1 is \2"),
    (r"^is my (\w+) (.+)$", r"if my \1 is \2"),
    (r"^are (you|they|there|points|connections) (.+)$", r"whether \1 are \2"),
    (r"^(what|who|which \w+) (happens|decides|runs|can see) (.+)$", r"\1 \2 \3"),
]


_THESAURUS_WORDS = re.compile(
    r"(?<![-\w/])(" + "|".join(sorted(map(re.escape, THESAURUS), key=len, reverse=True))
    + r")(?![-\w/])"
)


def expand(rng: Random, template: str) -> str:
    """Draws one wording from a template with `[a|b]` choices and `{word}` synonyms."""
    choice = re.compile(r"\[([^\[\]]*)\]")
    while match := choice.search(template):
        picked = rng.choice(match.group(1).split("|"))
        template = template[: match.start()] + picked + template[match.end() :]
    text = re.sub(r"\{(\w+)\}", lambda m: rng.choice(SYNONYMS[m.group(1)]), template)
    return re.sub(r"\s+", " ", text).strip()


def frame(rng: Random, topics: list[str], tasks: list[str], questions: list[str]) -> str:
    """Draws one bare question: a framed topic, a framed task or a whole question."""
    pool = [("t", 1.0)] * len(topics) + [("d", 2.0)] * len(tasks) + [("q", 1.5)] * len(questions)
    index = rng.choices(range(len(pool)), [weight for _, weight in pool])[0]
    kind = pool[index][0]
    if kind == "t":
        topic = expand(rng, topics[index])
        text = rng.choice(TOPIC_FRAMES).replace("{t}", topic)
        if topic.endswith("s") and not topic.startswith(("a ", "an ")):
            text = text.replace("what is " + topic, "what are " + topic)
        if rng.random() < 0.2:
            text = re.sub(r"\b(a|the|an) (?=" + re.escape(topic.split(" ", 1)[-1]) + ")", "", text)
        return expand(rng, text)
    if kind == "d":
        task = expand(rng, tasks[index - len(topics)])
        return expand(rng, rng.choice(TASK_FRAMES).replace("{d}", task))
    return expand(rng, questions[index - len(topics) - len(tasks)])


def _indirect(rng: Random, text: str) -> str:
    for pattern, replacement in INDIRECT:
        if re.match(pattern, text):
            return rng.choice(ASK_OPENERS) + re.sub(pattern, replacement, text)
    return text


def _typo(rng: Random, text: str) -> str:
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if not places:
        return text
    at = rng.choice(places)
    word = words[at]
    cut = rng.randrange(1, len(word) - 1)
    kind = rng.random()
    if kind < 0.4:
        word = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :]
    elif kind < 0.75:
        word = word[:cut] + word[cut + 1 :]
    else:
        word = word[:cut] + word[cut] + word[cut:]
    words[at] = word
    return " ".join(words)


def _drop_small(rng: Random, text: str, share: float) -> str:
    words = text.split(" ")
    kept = [w for w in words if w.lower() not in SMALL_WORDS or rng.random() > share]
    return " ".join(kept) if kept else text


def _swap_synonyms(rng: Random, text: str, share: float) -> str:
    def swap(match: re.Match) -> str:
        word = match.group(0)
        return rng.choice(THESAURUS[word]) if rng.random() < share else word

    return _THESAURUS_WORDS.sub(swap, text)


def _fill(rng: Random, text: str) -> str:
    def draw(match: re.Match) -> str:
        values = FILLERS[match.group(1)]
        return rng.choice(values.split("|") if "|" in values else values.split())

    return re.sub(r"\{(\w+)\}", draw, text)


def _drop_any(rng: Random, text: str) -> str:
    words = text.split(" ")
    if len(words) >= 6:
        words.pop(rng.randrange(len(words)))
    return " ".join(words)


def _is_question(text: str) -> bool:
    starts = ("what", "how", "who", "which", "where", "why", "is ", "are ", "can ", "do ", "does ",
              "will", "did ", "may ", "must ", "am I", "could", "in what", "in which", "when")
    return text.lower().startswith(starts)


def dress(rng: Random, text: str) -> str:
    """Gives a bare question the look of something that a person typed."""
    asks = _is_question(text)
    if "swarmllm " not in text and rng.random() < 0.4:
        text = _swap_synonyms(rng, text, 0.4)
    if asks and rng.random() < 0.12:
        text = _indirect(rng, text)
    if rng.random() < 0.22:
        text = expand(rng, rng.choice(OPENERS)) + " " + text
    if rng.random() < 0.12:
        text += " " + expand(rng, rng.choice(ENDINGS)) if rng.random() < 0.6 else ""
    if rng.random() < 0.1:
        text = _fill(rng, rng.choice(ASIDES_BEFORE)) + text
    if rng.random() < 0.07:
        text += _fill(rng, rng.choice(ASIDES_AFTER))
    text = re.sub(r"\s+", " ", text).replace(" ,", ",").strip()
    if rng.random() < 0.06:
        text = _drop_any(rng, text)
    if rng.random() < 0.35:
        for pattern, short in CONTRACTIONS:
            text = re.sub(pattern, short, text)
    if rng.random() < 0.08:
        text = _drop_small(rng, text, 0.7)
    if rng.random() < 0.08:
        text = _typo(rng, text)
    mark = ("?" if rng.random() < 0.72 else "") if asks else rng.choice(["", ".", "", "?", "!"])
    text += "" if text.endswith(("?", "!", ".")) else mark
    if rng.random() < 0.35:
        return text.lower()
    return text[:1].upper() + text[1:] if rng.random() < 0.9 else text
