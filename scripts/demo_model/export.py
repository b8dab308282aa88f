"""Writes a trained model as GGUF: Q8_0 matrices, F32 norms, tokenizer and chat template inside.

Called by build.py. By hand:

    python scripts/demo_model/export.py demo --work /tmp/demo_model --out models/demo/demo.gguf

Reads `NAME.pt` and `tokenizer.json` from the work folder. Keys and tensor names are the ones that
llama.cpp writes for `general.architecture = llama`. There is no output matrix: the embedding is
used again.
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch

from chat import TEMPLATE
from tokenizer import CONTROL, SPECIALS

TITLES = {"demo": "SwarmLLM demo", "demo-draft": "SwarmLLM demo-draft"}
DESCRIPTIONS = {
    "demo": "Tiny model embedded in SwarmLLM, trained from scratch on a generated corpus.",
    "demo-draft": "Draft model of SwarmLLM's demo, for speculative decoding.",
}


def add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    """Tokens, types and merges of `tokenizer.json`, and the chat template."""
    model = json.loads(path.read_text())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    types = []
    for token in tokens:
        special = gguf.TokenType.CONTROL if token in CONTROL else gguf.TokenType.USER_DEFINED
        types.append(special if token in SPECIALS else gguf.TokenType.NORMAL)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_eot_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|pad|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def add_config(writer: gguf.GGUFWriter, config: dict) -> None:
    name = config["name"]
    writer.add_name(TITLES[name])
    writer.add_description(DESCRIPTIONS[name])
    writer.add_license("MIT OR Apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config["layers"])
    writer.add_context_length(config["context"])
    writer.add_embedding_length(config["hidden"])
    writer.add_feed_forward_length(config["ffn"])
    writer.add_head_count(config["heads"])
    writer.add_head_count_kv(config["kv_heads"])
    writer.add_layer_norm_rms_eps(config["rms_eps"])
    writer.add_rope_freq_base(config["rope_base"])
    writer.add_rope_dimension_count(config["hidden"] // config["heads"])
    writer.add_vocab_size(config["vocab"])


def add_weights(writer: gguf.GGUFWriter, weights: dict[str, torch.Tensor]) -> None:
    """Names are the module paths, which already are GGUF's."""
    for name, weight in weights.items():
        values = weight.detach().float().numpy()
        if values.ndim == 1:
            writer.add_tensor(name, values.astype(np.float32))
            continue
        blocks = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)


def export(work: Path, name: str, out: Path) -> dict:
    """Writes the file; returns the training figures stored with the weights."""
    state = torch.load(work / f"{name}.pt", weights_only=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "llama")
    add_config(writer, state["config"])
    add_tokenizer(writer, work / "tokenizer.json")
    add_weights(writer, state["weights"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(out)
    return state["figures"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=TITLES)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    figures = export(options.work, options.name, options.out)
    print(json.dumps({"file": str(options.out), "bytes": options.out.stat().st_size} | figures))


if __name__ == "__main__":
    main()
