"""Small sums: addition and subtraction up to 20, multiplication up to 12.

Called by corpus.py and tools.py. Not run by itself. `arithmetic` draws one (question, answer)
pair, `small_arithmetic` one with numbers up to ten.
"""

from random import Random

WORDS = {"+": "plus", "-": "minus", "*": "times"}
FORMS = [
    "What is {a} {word} {b}?", "What is {a} {word} {b}?", "what is {a} {word} {b}",
    "{a} {op} {b}", "{a} {op} {b} =", "{a}{op}{b}", "{a}{op}{b}?", "What is {a} {op} {b}?",
    "How much is {a} {word} {b}?", "how much is {a} {op} {b}?", "Calculate {a} {word} {b}.",
    "compute {a} {op} {b}", "what's {a} {word} {b}?", "Please calculate {a} {op} {b}",
    "Can you tell me what {a} {word} {b} is?", "{a} {word} {b}", "{a} {word} {b}?",
    "Can you calculate {a} {op} {b}?", "what does {a} {word} {b} make", "tell me {a} {word} {b}",
]
LISTED = {
    "+": ["add {a} and {b}", "Add {b} to {a}.", "what is the sum of {a} and {b}?"],
    "-": ["subtract {b} from {a}", "Take {b} away from {a}."],
    "*": ["multiply {a} by {b}", "What is the product of {a} and {b}?", "multiply {a} and {b}"],
}


def problem(rng: Random) -> tuple[int, str, int, int]:
    """Two small numbers, the operator between them and the result."""
    op = rng.choice("++-**")
    if op == "*":
        a, b = rng.randint(0, 12), rng.randint(0, 12)
        return a, op, b, a * b
    a, b = rng.randint(0, 20), rng.randint(0, 20)
    if op == "-" and a < b:
        a, b = b, a
    return a, op, b, a + b if op == "+" else a - b


def small_problem(rng: Random) -> tuple[int, str, int, int]:
    """One-digit numbers, the operator between them and the result."""
    a, b, op = rng.randint(0, 10), rng.randint(0, 10), rng.choice("++-*")
    if op == "-" and a < b:
        a, b = b, a
    return a, op, b, {"+": a + b, "-": a - b, "*": a * b}[op]


def small_arithmetic(rng: Random) -> tuple[str, str]:
    """As `arithmetic`, with one-digit numbers only."""
    return arithmetic(rng, small_problem)


def arithmetic(rng: Random, draw=problem) -> tuple[str, str]:
    """One sum, asked in one of many forms, answered in one."""
    a, op, b, result = draw(rng)
    form = rng.choice(FORMS if rng.random() < 0.85 else LISTED[op])
    shown = rng.choice(["*", "x"]) if op == "*" else op
    question = form.format(a=a, b=b, op=shown, word=WORDS[op])
    return question, f"{a} {WORDS[op]} {b} is {result}."
