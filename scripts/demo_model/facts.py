"""The facts that the demo model knows: one short answer each and many templates of its questions.

Called by corpus.py and dialogues.py. Not run by itself.

Format of the TEXT in facts_basics.py, facts_usage.py and facts_swarm.py:

    ## key            starts a fact; the lines after it are its answer
    t: noun phrase    a topic: combined with TOPIC_FRAMES ("what is ...", "explain ...")
    d: verb phrase    something to do: combined with TASK_FRAMES ("how do I ...")
    q: question       a whole question or request
      continuation    a line that starts with two spaces continues the line before

facts_phrasings.py and facts_situations.py add further questions to these facts, facts_finishing.py
some for the finishing phase alone. Inside a line `[a|b|]` is a choice (maybe empty, nesting
allowed) and `{word}` a group of synonyms; grammar.py expands both.
"""

from dataclasses import dataclass, field

import facts_basics
import facts_finishing
import facts_phrasings
import facts_situations
import facts_swarm
import facts_usage


@dataclass
class Fact:
    """One answer and the templates that ask for it."""

    key: str
    answer: str
    topics: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    finishing: list[str] = field(default_factory=list)

    def weight(self) -> float:
        """How often the fact is asked, relative to others: broad facts need more practice."""
        size = len(self.topics) + 2 * len(self.tasks) + 1.5 * len(self.questions)
        return max(8.0, size) ** 0.5


def parse(text: str) -> list[Fact]:
    """Reads the format described above."""
    facts: list[Fact] = []
    lines: list[str] = []
    for line in text.strip("\n").split("\n"):
        if line.startswith("  ") and lines:
            lines[-1] += " " + line.strip()
        elif line.strip():
            lines.append(line.strip())
    for line in lines:
        if line.startswith("## "):
            facts.append(Fact(line[3:], ""))
        elif line[:3] in ("t: ", "d: ", "q: "):
            fact = facts[-1]
            {"t": fact.topics, "d": fact.tasks, "q": fact.questions}[line[0]].append(line[3:])
        else:
            facts[-1].answer = (facts[-1].answer + " " + line).strip()
    return facts


FACTS = parse(facts_basics.TEXT) + parse(facts_usage.TEXT) + parse(facts_swarm.TEXT)
BY_KEY = {fact.key: fact for fact in FACTS}
assert len(BY_KEY) == len(FACTS), "two facts share a key"
for _more in parse(facts_phrasings.TEXT) + parse(facts_situations.TEXT):
    BY_KEY[_more.key].questions += _more.questions
for _more in parse(facts_finishing.TEXT):
    BY_KEY[_more.key].finishing += _more.questions
