"""A llama-shaped decoder in plain PyTorch: the network behind `demo` and `demo-draft`.

Called by train.py (training), export.py (weights to GGUF) and evaluate.py (greedy answers).
Not run by itself.

Shapes: token ids `[batch, time]` in, logits `[batch, time, vocab]` out. Matrices are kept as
`[out, in]` rows, which is also the order in which GGUF stores them. Rotary embedding turns
neighbouring pairs (2i, 2i+1), the layout of `general.architecture = llama`, so that no row has to
be permuted on export. Input and output embedding are one matrix. Attention keeps a plain cache of
keys and values when one is given.

Source: Llama (arXiv 2302.13971), grouped-query attention (arXiv 2305.13245), RoPE
(arXiv 2104.09864). Absent on purpose: dropout, biases, mixed widths, anything that the runtime's
llama graph does not have.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class ModelConfig:
    """The hyper-parameters of one model; every row length is a multiple of 32 for Q8_0."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int = 4096
    context: int = 512
    rms_eps: float = 1e-5
    rope_base: float = 10000.0

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    def as_dict(self) -> dict:
        return asdict(self)


CONFIGS = {
    "demo": ModelConfig("demo", hidden=256, layers=6, heads=4, kv_heads=2, ffn=768),
    "demo-draft": ModelConfig("demo-draft", hidden=128, layers=3, heads=2, kv_heads=1, ffn=384),
}


def rope_tables(config: ModelConfig, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of every (position, pair) angle, each `[length, head_size / 2]`."""
    half = torch.arange(0, config.head_size, 2, dtype=torch.float64) / config.head_size
    angle = torch.arange(length, dtype=torch.float64)[:, None] * config.rope_base ** -half[None]
    return angle.cos().float(), angle.sin().float()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns the pairs (2i, 2i+1) of `x` `[batch, heads, time, head_size]` by their angle."""
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).to(x.dtype)


def causal_mask(queries: int, keys: int) -> torch.Tensor:
    """Zero where the last `queries` positions may look at `keys` positions, else -inf."""
    return torch.full((queries, keys), float("-inf")).triu(keys - queries + 1)


class RmsNorm(nn.Module):
    """Root-mean-square norm with a learned gain, computed in f32."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight, self.eps).to(x.dtype)


class Block(nn.Module):
    """One layer: grouped-query attention and a SwiGLU feed-forward, each after its norm."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        kv_size = config.kv_heads * config.head_size
        self.config = config
        self.attn_norm = RmsNorm(config.hidden, config.rms_eps)
        self.attn_q = nn.Linear(config.hidden, config.hidden, bias=False)
        self.attn_k = nn.Linear(config.hidden, kv_size, bias=False)
        self.attn_v = nn.Linear(config.hidden, kv_size, bias=False)
        self.attn_output = nn.Linear(config.hidden, config.hidden, bias=False)
        self.ffn_norm = RmsNorm(config.hidden, config.rms_eps)
        self.ffn_gate = nn.Linear(config.hidden, config.ffn, bias=False)
        self.ffn_up = nn.Linear(config.hidden, config.ffn, bias=False)
        self.ffn_down = nn.Linear(config.ffn, config.hidden, bias=False)

    def attention(self, x, cos, sin, cache):
        batch, time, _ = x.shape
        config = self.config
        split = (batch, time, -1, config.head_size)
        q = rotate(self.attn_q(x).view(split).transpose(1, 2), cos, sin)
        k = rotate(self.attn_k(x).view(split).transpose(1, 2), cos, sin)
        v = self.attn_v(x).view(split).transpose(1, 2)
        if cache is not None:
            if "k" in cache:
                k, v = torch.cat((cache["k"], k), 2), torch.cat((cache["v"], v), 2)
            cache["k"], cache["v"] = k, v
        # Query heads of one group share keys and values: they become rows of one product.
        grouped = (batch, config.kv_heads, -1, config.head_size)
        scores = q.reshape(grouped) @ k.transpose(-1, -2) * config.head_size**-0.5
        scores = scores.view(batch, config.heads, time, -1) + causal_mask(time, k.shape[2])
        weights = F.softmax(scores, -1).to(v.dtype).view(batch, config.kv_heads, -1, k.shape[2])
        out = (weights @ v).view(batch, config.heads, time, config.head_size)
        return self.attn_output(out.transpose(1, 2).reshape(batch, time, -1))

    def forward(self, x, cos, sin, cache=None):
        x = x + self.attention(self.attn_norm(x), cos, sin, cache)
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Llama(nn.Module):
    """The whole network; `init_seed` fixes the starting weights."""

    def __init__(self, config: ModelConfig, init_seed: int = 1):
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocab, config.hidden)
        self.blk = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.output_norm = RmsNorm(config.hidden, config.rms_eps)
        cos, sin = rope_tables(config, config.context)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise(init_seed)

    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        depth = (2 * self.config.layers) ** -0.5
        for name, weight in self.named_parameters():
            if weight.dim() < 2:
                continue
            std = 0.02 if name.startswith("token_embd") else weight.shape[1] ** -0.5
            if name.endswith(("attn_output.weight", "ffn_down.weight")):
                std *= depth
            with torch.no_grad():
                weight.normal_(0.0, std, generator=generator)

    def hidden(self, ids: torch.Tensor, caches: list | None = None) -> torch.Tensor:
        """The normalised residual stream of every position, `[batch, time, hidden]`."""
        start = caches[0]["k"].shape[2] if caches and "k" in caches[0] else 0
        cos, sin = self.cos[start : start + ids.shape[1]], self.sin[start : start + ids.shape[1]]
        x = self.token_embd(ids)
        for index, block in enumerate(self.blk):
            x = block(x, cos, sin, caches[index] if caches is not None else None)
        return self.output_norm(x)

    def forward(self, ids: torch.Tensor, caches: list | None = None) -> torch.Tensor:
        return F.linear(self.hidden(ids, caches), self.token_embd.weight)

    def parameter_count(self) -> int:
        return sum(weight.numel() for weight in self.parameters())


@torch.no_grad()
def greedy(model: Llama, prompt: list[int], stop: set[int], limit: int = 120) -> list[int]:
    """Greedy continuation of `prompt`; the stop token, if reached, is the last id returned."""
    caches = [{} for _ in model.blk]
    logits = model(torch.tensor([prompt]), caches)[0, -1]
    out: list[int] = []
    while len(out) < min(limit, model.config.context - len(prompt)):
        out.append(int(logits.argmax()))
        if out[-1] in stop:
            break
        logits = model(torch.tensor([[out[-1]]]), caches)[0, -1]
    return out
