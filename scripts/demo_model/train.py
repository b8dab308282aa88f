"""Trains `demo` or `demo-draft` from scratch on one CPU thread.

Called by build.py. By hand:

    python scripts/demo_model/train.py demo --work /tmp/demo_model

Needs `tokenizer.json` in the work folder (tokenizer.py) and leaves `NAME.pt` (weights, config and
figures) and `NAME.log.jsonl` there; every `--save-every` steps the state so far is saved under the
same name, so that a usable model exists at any time.

One step is about `--batch-tokens` tokens of whole conversations, in groups of like length that are
padded a little: no conversation sees another. Loss: cross-entropy on the tokens of the answers
only. A few tokens of the questions about SwarmLLM are replaced at random, which makes the model
look at the whole question. Matrices learn by Muon, the rest by AdamW; the learning rate stays flat
and then falls to zero in a straight line. The result depends on the recipe and on the machine's
rounding, on nothing else.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F

from corpus import FINISHING_MIX, MAIN_MIX, epoch
from model import CONFIGS, Llama
from muon import Muon
from tokenizer import SPECIALS, encode_documents, load


@dataclass(frozen=True)
class Phase:
    """One part of a training: its steps, its peak learning rates and its corpus.

    Which answer to give shows in its first words; the rest is soon known by heart. So `cut_share`
    of the single answers end after `cut_tokens`, and the time goes into more questions.
    """

    steps: int
    muon_lr: float
    adam_lr: float
    seed: int = 1
    mix: dict[str, int] = field(default_factory=lambda: MAIN_MIX)
    cut_share: float = 0.6
    cut_tokens: int = 14


# How the shipped models were trained. Every phase starts with fresh optimiser states.
RECIPES = {
    "demo": [
        Phase(steps=1600, muon_lr=0.02, adam_lr=0.003),
        Phase(
            steps=650, muon_lr=0.015, adam_lr=0.002, seed=2, mix=FINISHING_MIX, cut_share=0.9,
            cut_tokens=12,
        ),
    ],
    "demo-draft": [Phase(steps=700, muon_lr=0.02, adam_lr=0.004)],
}
# The share of the question's tokens that is replaced by random ones.
NOISE = 0.05
MICRO_TOKENS = 1024
POOL_STEPS = 16
WARM_UP = 40
FLAT_SHARE = 0.35


def stream(tokenizer, phase: Phase) -> Iterator[tuple[list[int], list[bool], bool]]:
    """Endless encoded conversations: ids, which to write, whether the question may get noise."""
    number, rng = 0, Random(phase.seed)
    while True:
        documents = epoch(phase.seed, number, phase.mix)
        encoded = encode_documents(tokenizer, [document.text for document in documents])
        for document, (ids, wanted) in zip(documents, encoded):
            if document.kind in ("fact", "late_fact") and rng.random() < phase.cut_share:
                end = wanted.index(True) + phase.cut_tokens
                ids, wanted = ids[:end], wanted[:end]
            yield ids, wanted, document.kind in ("fact", "late_fact", "dialogue")
        number += 1


def add_noise(rng: Random, ids: list[int], wanted: list[bool], vocab: int) -> list[int]:
    """Replaces a few tokens of the question by random ones; control tokens stay."""
    first = len(SPECIALS)
    return [
        rng.randrange(first, vocab) if not w and token >= first and rng.random() < NOISE else token
        for token, w in zip(ids, wanted)
    ]


def micro_batches(rows: list[tuple]) -> list[tuple]:
    """Rows of like length together, each group padded to about MICRO_TOKENS tokens."""
    micro, group = [], []
    for row in sorted(rows, key=lambda row: len(row[0])):
        if group and len(row[0]) * (len(group) + 1) > MICRO_TOKENS:
            micro.append(pad(group))
            group = []
        group.append(row)
    return [*micro, pad(group)]


def batches(tokenizer, phase: Phase, batch_tokens: int, vocab: int) -> Iterator[list[tuple]]:
    """One step's micro-batches: padded inputs `[rows, time]`, targets and mask like them."""
    rng = Random(phase.seed)
    source = stream(tokenizer, phase)
    per_step = max(1, batch_tokens // MICRO_TOKENS)
    while True:
        rows, total = [], 0
        while total < POOL_STEPS * batch_tokens:
            ids, wanted, noisy = next(source)
            inputs = add_noise(rng, ids, wanted, vocab) if noisy else ids
            rows.append((inputs[:-1], ids[1:], wanted[1:]))
            total += len(ids)
        micro = micro_batches(rows)
        rng.shuffle(micro)
        for at in range(0, len(micro) - per_step + 1, per_step):
            yield micro[at : at + per_step]


def pad(group: list[tuple]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of unlike length as three tensors; padding is never a target."""
    width = max(len(row[0]) for row in group)
    columns = []
    for part, filler in ((0, 0), (1, 0), (2, False)):
        rows = [row[part] + [filler] * (width - len(row[part])) for row in group]
        columns.append(torch.tensor(rows))
    return tuple(columns)


def step_loss(model: Llama, micro: list[tuple]) -> float:
    """Accumulates the gradient of one step; returns the mean loss per written token."""
    count = sum(int(mask.sum()) for _, _, mask in micro)
    total = 0.0
    for inputs, targets, mask in micro:
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.hidden(inputs)[mask]
            logits = F.linear(hidden, model.token_embd.weight)
        loss = F.cross_entropy(logits.float(), targets[mask], reduction="sum") / count
        loss.backward()
        total += loss.item()
    return total


def rate(step: int, steps: int) -> float:
    """The learning rate's factor: warm-up, flat, straight to zero."""
    flat_end = steps * FLAT_SHARE
    return min(1.0, (step + 1) / WARM_UP, (steps - step) / (steps - flat_end))


def optimisers(model: Llama, phase: Phase) -> list[torch.optim.Optimizer]:
    matrices = [w for name, w in model.named_parameters() if w.dim() == 2 and "blk" in name]
    rest = [w for name, w in model.named_parameters() if w.dim() != 2 or "blk" not in name]
    found = [
        Muon(matrices, lr=phase.muon_lr),
        torch.optim.AdamW(rest, lr=phase.adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    for optimiser in found:
        for group in optimiser.param_groups:
            group["base_lr"] = group["lr"]
    return found


def save(model: Llama, figures: dict, path: Path) -> None:
    state = {"config": model.config.as_dict(), "weights": model.state_dict(), "figures": figures}
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def run_phase(model: Llama, phase: Phase, before: dict, options: argparse.Namespace) -> dict:
    """Trains for one phase; returns the figures of the whole training so far."""
    name, config = model.config.name, model.config
    path, log_path = options.work / f"{name}.pt", options.work / f"{name}.log.jsonl"
    source = batches(
        load(options.work / "tokenizer.json"), phase, options.batch_tokens, config.vocab
    )
    opts = optimisers(model, phase)
    seen, began, window, figures = 0, time.time(), [], before
    for step in range(phase.steps):
        micro = next(source)
        window.append(step_loss(model, micro))
        seen += sum(inputs.numel() for inputs, _, _ in micro)  # A few per cent are padding.
        for optimiser in opts:
            for group in optimiser.param_groups:
                group["lr"] = group["base_lr"] * rate(step, phase.steps)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        last = step + 1 == phase.steps
        if (step + 1) % 20 == 0 or last:
            seconds = time.time() - began
            figures = {
                "steps": before.get("steps", 0) + step + 1,
                "tokens": before.get("tokens", 0) + seen,
                "loss": round(sum(window) / len(window), 4),
                "seconds": round(before.get("seconds", 0) + seconds, 1),
                "tokens_per_second": round(seen / seconds),
                "parameters": model.parameter_count(),
            }
            window = []
            print(json.dumps(figures), flush=True)
            with log_path.open("a") as log:
                print(json.dumps(figures), file=log)
        if (step + 1) % options.save_every == 0 or last:
            save(model, figures, path)
    return figures


def run(name: str, options: argparse.Namespace) -> None:
    """All phases of a recipe, or those from `--from-phase` on."""
    model, figures = Llama(CONFIGS[name], init_seed=1), {}
    if options.from_phase:
        state = torch.load(options.work / f"{name}.pt", weights_only=True)
        model.load_state_dict(state["weights"])
        figures = state["figures"]
    else:
        (options.work / f"{name}.log.jsonl").unlink(missing_ok=True)
    for phase in RECIPES[name][options.from_phase :]:
        figures = run_phase(model, phase, figures, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--from-phase", type=int, default=0, help="go on with NAME.pt from here")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--save-every", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run(options.name, options)


if __name__ == "__main__":
    main()
