"""Renders conversations with the very chat template that goes into the GGUF file.

Called by corpus.py (training text), evaluate.py (prompts) and export.py (`TEMPLATE`). Not run by
itself. A message is a dict with `role`, `content` and maybe `tool_calls`, as in the OpenAI API.
"""

import json
from pathlib import Path

import jinja2

TEMPLATE = (Path(__file__).parent / "template.jinja").read_text().rstrip("\n")

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
ANSWER_OPENING = IM_START + "assistant\n"


def _environment() -> jinja2.Environment:
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return env


_COMPILED = _environment().from_string(TEMPLATE)


def render(messages: list[dict], tools: list[dict] | None = None, prompt: bool = False) -> str:
    """The text of a conversation; with `prompt` it ends where the model's answer begins."""
    return _COMPILED.render(messages=messages, tools=tools, add_generation_prompt=prompt)


def answer_spans(text: str) -> list[tuple[int, int]]:
    """The character ranges that the model has to write: each answer with its end mark."""
    spans, at = [], 0
    while (start := text.find(ANSWER_OPENING, at)) >= 0:
        begin = start + len(ANSWER_OPENING)
        at = text.index(IM_END, begin) + len(IM_END)
        spans.append((begin, at))
    return spans
