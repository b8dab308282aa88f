"""The byte-level BPE tokenizer of the demo models: trains it, loads it, turns documents into ids.

Called by train.py, export.py and evaluate.py. Run by build.py, or by hand:

    python scripts/demo_model/tokenizer.py --out /tmp/demo_model/tokenizer.json

4096 entries: 8 special tokens first, then the 256 bytes, then merges learned from the first epochs
of the corpus. Text is cut before merging exactly as `tokenizer.ggml.pre = "qwen2"` cuts it (single
digits). There is no normaliser and no beginning-of-text token.
"""

import argparse
import re
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from chat import answer_spans
from corpus import epoch

VOCAB_SIZE = 4096
SPECIALS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>",
    "<tool_response>", "</tool_response>", "<|pad|>",
]
CONTROL = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"}
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train(seed: int, epochs: int) -> Tokenizer:
    """Learns the merges from the first epochs of the corpus."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=SPECIALS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    marks = re.compile("|".join(map(re.escape, SPECIALS)))
    texts = (
        piece
        for number in range(epochs)
        for document in epoch(seed, number)
        for piece in marks.split(document.text)
    )
    tokenizer.train_from_iterator(texts, trainer)
    assert tokenizer.get_vocab_size() == VOCAB_SIZE, tokenizer.get_vocab_size()
    return tokenizer


def load(path: Path) -> Tokenizer:
    """The tokenizer that `train` saved."""
    return Tokenizer.from_file(str(path))


def encode_documents(tokenizer: Tokenizer, texts: list[str]) -> list[tuple[list[int], list[bool]]]:
    """For each text its ids up to the last answer's end, and which of them the model writes."""
    encoded = []
    for text, coding in zip(texts, tokenizer.encode_batch(texts)):
        spans = answer_spans(text)
        ids, wanted = [], []
        for token, (begin, end) in zip(coding.ids, coding.offsets):
            if begin >= spans[-1][1]:
                break
            ids.append(token)
            wanted.append(any(first <= begin and end <= last for first, last in spans))
        encoded.append((ids, wanted))
    return encoded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the corpus to learn from")
    options = parser.parse_args()
    tokenizer = train(options.seed, options.epochs)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(options.out))
    documents = epoch(options.seed, 0)
    encoded = encode_documents(tokenizer, [document.text for document in documents])
    total = sum(len(ids) for ids, _ in encoded)
    wanted = sum(sum(flags) for _, flags in encoded)
    facts = sum(len(e[0]) for e, d in zip(encoded, documents) if d.kind in ("fact", "dialogue"))
    longest = max(len(ids) for ids, _ in encoded)
    print(f"{len(documents)} documents, {total} tokens, {wanted} to be written, "
          f"{facts / total:.0%} about SwarmLLM, longest {longest}")


if __name__ == "__main__":
    main()
