"""The corpus: an endless, seeded stream of conversations, and a small fixed part of it as files.

Called by tokenizer.py (what to learn from), train.py (epochs) and evaluate.py (which questions the
model may have seen). Run by hand to look at it:

    python scripts/demo_model/corpus.py --epoch 0 --show 20

Epoch `n` of seed `s` is always the same list of documents; every epoch is drawn anew, so the model
rarely meets the same wording twice. A question that equals one of the test questions or of the
held-out questions, after lower-casing and stripping punctuation, is thrown away and drawn again.
"""

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

from arithmetic import arithmetic, small_arithmetic
from chat import render
from dialogues import ask, ask_late, dialogue, long_dialogue, maybe_system, turn
from facts import FACTS
from scope import courtesy, out_of_scope, small_talk
from stories import late_story, story
from tools import tool_dialogue

HERE = Path(__file__).parent
TEST_FILE = HERE.parent.parent / "tests" / "data" / "demo_questions.json"
HELD_OUT_FILE = HERE / "held_out.json"

# Documents of each kind in one epoch, about 1.1 million tokens in all. The second mix finishes the
# training: more sums and small talk, new wordings, and chats that reach far into the context.
MAIN_MIX = {
    "fact": 16000, "dialogue": 1500, "out_of_scope": 1300, "small_talk": 500, "arithmetic": 1800,
    "story": 600, "tools": 250,
}
FINISHING_MIX = {
    "fact": 8000, "late_fact": 9000, "dialogue": 500, "long_dialogue": 250, "out_of_scope": 1200,
    "small_talk": 300, "courtesy": 400, "arithmetic": 2500, "small_arithmetic": 4000, "story": 200,
    "late_story": 300, "tools": 600,
}
# (seed, mix, epochs): all that the recipes in train.py can have drawn from, with room to spare.
USED = [(1, MAIN_MIX, 10), (2, FINISHING_MIX, 4)]


@dataclass(frozen=True)
class Document:
    """One conversation as text, with what it is and the questions that a person typed in it."""

    kind: str
    text: str
    questions: tuple[str, ...]


def plain(question: str) -> str:
    """Lower case, words only: the form in which two questions count as the same."""
    return " ".join(re.findall(r"[a-z0-9]+", question.lower()))


def forbidden_questions() -> set[str]:
    """The test questions and the held-out questions, in plain form."""
    found = set()
    for path in (TEST_FILE, HELD_OUT_FILE):
        if path.exists():
            found |= {plain(entry["question"]) for entry in json.loads(path.read_text())}
    return found


def _draw(rng: Random, kind: str) -> tuple[list[dict] | None, list[dict]]:
    if kind == "fact":
        fact = rng.choices(FACTS, [fact.weight() for fact in FACTS])[0]
        return None, maybe_system(rng, turn(ask(rng, fact), fact.answer), 0.1)
    if kind == "late_fact":
        fact = rng.choice(FACTS)
        return None, maybe_system(rng, turn(ask_late(rng, fact), fact.answer), 0.1)
    if kind == "dialogue":
        return None, dialogue(rng)
    if kind == "long_dialogue":
        return None, long_dialogue(rng)
    if kind == "tools":
        return tool_dialogue(rng)
    single = {
        "out_of_scope": out_of_scope, "small_talk": small_talk, "courtesy": courtesy,
        "arithmetic": arithmetic, "small_arithmetic": small_arithmetic, "story": story,
        "late_story": late_story,
    }[kind]
    return None, maybe_system(rng, turn(*single(rng)), 0.08)


def epoch(seed: int, number: int, mix: dict[str, int] = MAIN_MIX) -> list[Document]:
    """All documents of one epoch, shuffled."""
    rng = Random(f"{seed}/{number}")
    forbidden = forbidden_questions()
    documents = []
    for kind, count in mix.items():
        for _ in range(count):
            while True:
                tools, messages = _draw(rng, kind)
                asked = tuple(m["content"] for m in messages if m["role"] == "user")
                if not any(plain(question) in forbidden for question in asked):
                    break
            documents.append(Document(kind, render(messages, tools), asked))
    rng.shuffle(documents)
    return documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epoch", type=int, default=0)
    parser.add_argument("--show", type=int, default=20, help="documents to print")
    options = parser.parse_args()
    documents = epoch(options.seed, options.epoch)
    for document in documents[: options.show]:
        print(f"--- {document.kind}\n{document.text}")
    sizes = {kind: sum(len(d.text) for d in documents if d.kind == kind) for kind in MAIN_MIX}
    print({kind: f"{size / sum(sizes.values()):.1%}" for kind, size in sizes.items()})


if __name__ == "__main__":
    main()
