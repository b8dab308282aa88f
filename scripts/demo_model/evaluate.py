"""Asks a shipped GGUF file the test questions and the held-out questions, greedily.

Called by build.py. By hand:

    python scripts/demo_model/evaluate.py models/demo/demo.gguf --draft models/demo/demo-draft.gguf

Weights, tokenizer and hyper-parameters all come from the GGUF file (Q8_0 dequantised to f32), so
what is measured is what is shipped. First it makes sure that no question asked here occurs in any
of the corpus's epochs that training can have used. Exit code 1 if it does, if an answer does not
stop by itself, or if fewer than `--need` test questions pass. With `--draft` it also prints how
often the draft model guesses the model's next token.
"""

import argparse
import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch

from chat import render
from corpus import HELD_OUT_FILE, TEST_FILE, USED, epoch, plain
from model import Llama, ModelConfig, greedy
from tokenizer import QWEN2_PATTERN, SPECIALS
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers


def _value(reader: gguf.GGUFReader, key: str):
    return reader.fields[key].contents()


def read_model(reader: gguf.GGUFReader) -> Llama:
    """The network in f32 with the file's dequantised weights."""
    config = ModelConfig(
        name=_value(reader, "general.name"),
        hidden=_value(reader, "llama.embedding_length"),
        layers=_value(reader, "llama.block_count"),
        heads=_value(reader, "llama.attention.head_count"),
        kv_heads=_value(reader, "llama.attention.head_count_kv"),
        ffn=_value(reader, "llama.feed_forward_length"),
        vocab=_value(reader, "llama.vocab_size"),
        context=_value(reader, "llama.context_length"),
        rms_eps=_value(reader, "llama.attention.layer_norm_rms_epsilon"),
        rope_base=_value(reader, "llama.rope.freq_base"),
    )
    model = Llama(config)
    weights = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        weights[tensor.name] = torch.from_numpy(values.copy())
    model.load_state_dict(weights)
    return model.eval()


def read_tokenizer(reader: gguf.GGUFReader) -> Tokenizer:
    """A tokenizer built from the file's tokens and merges alone."""
    tokens = _value(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in _value(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    return tokenizer


def answer(model: Llama, tokenizer: Tokenizer, question: str) -> tuple[str, list[int], bool]:
    """The greedy answer, all its ids with the prompt's before them, and whether it stopped."""
    prompt = tokenizer.encode(render([{"role": "user", "content": question}], prompt=True)).ids
    end = tokenizer.token_to_id("<|im_end|>")
    ids = greedy(model, prompt, {end})
    return tokenizer.decode(ids, skip_special_tokens=False), prompt + ids, ids[-1] == end


def passes(reply: str, groups: list[list[str]]) -> bool:
    """Whether every group has one of its alternatives in the reply."""
    return all(any(word in reply.lower() for word in group) for group in groups)


def check_unseen(questions: set[str]) -> int:
    """Counts the corpus questions compared; raises if one of them is asked here."""
    compared = 0
    for seed, mix, epochs in USED:
        for number in range(epochs):
            for document in epoch(seed, number, mix):
                seen = {plain(question) for question in document.questions}
                assert not seen & questions, f"in the corpus: {seen & questions}"
                compared += len(seen)
    return compared


def ask_all(model: Llama, tokenizer: Tokenizer, path: Path, show: str) -> tuple[int, int, list]:
    """Asks every question of a file; returns passed, stopped and all id sequences."""
    passed, stopped, sequences = 0, 0, []
    for entry in json.loads(path.read_text()):
        reply, ids, stop = answer(model, tokenizer, entry["question"])
        good = passes(reply, entry["keywords"])
        passed, stopped = passed + good, stopped + stop
        sequences.append(ids)
        if show == "all" or (show == "failed" and not (good and stop)):
            print(f"{'pass' if good else 'FAIL'}  {entry['question']}\n      {reply}")
    return passed, stopped, sequences


@torch.no_grad()
def agreement(draft: Llama, sequences: list[list[int]], opening: int) -> float:
    """The share of answer tokens that the draft model's greedy guess would have got right."""
    right = total = 0
    for ids in sequences:
        begin = len(ids) - 1 - ids[::-1].index(opening) + 3
        guesses = draft(torch.tensor([ids[:-1]]))[0].argmax(-1)
        right += int((guesses[begin - 1 :] == torch.tensor(ids[begin:])).sum())
        total += len(ids) - begin
    return right / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--draft", type=Path)
    parser.add_argument("--skip-corpus", action="store_true", help="do not compare with the corpus")
    parser.add_argument("--need", type=int, default=16, help="test questions that must pass")
    parser.add_argument("--show", choices=["all", "failed", "none"], default="all")
    parser.add_argument("--ask", help="only answer this question")
    options = parser.parse_args()
    torch.set_num_threads(1)
    reader = gguf.GGUFReader(options.model)
    model, tokenizer = read_model(reader), read_tokenizer(reader)
    if options.ask:
        print(answer(model, tokenizer, options.ask)[0])
        return
    entries = json.loads(TEST_FILE.read_text()) + json.loads(HELD_OUT_FILE.read_text())
    result, sequences = {}, []
    if not options.skip_corpus:
        asked = {plain(entry["question"]) for entry in entries}
        result["corpus_questions_compared"] = check_unseen(asked)
    for key, path in (("test", TEST_FILE), ("held_out", HELD_OUT_FILE)):
        passed, stopped, found = ask_all(model, tokenizer, path, options.show)
        result |= {key: passed, f"{key}_asked": len(found), f"{key}_stopped": stopped}
        sequences += found
    if options.draft:
        draft = read_model(gguf.GGUFReader(options.draft))
        opening = tokenizer.token_to_id("<|im_start|>")
        result["draft_agreement"] = round(agreement(draft, sequences, opening), 4)
    print(json.dumps(result))
    stopped_all = result["test_stopped"] + result["held_out_stopped"] == len(sequences)
    sys.exit(0 if stopped_all and result["test"] >= options.need else 1)


if __name__ == "__main__":
    main()
