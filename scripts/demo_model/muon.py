"""Muon: momentum whose matrix updates are orthogonalised by a Newton-Schulz iteration.

Called by train.py for the weight matrices; embeddings and norms use AdamW. Not run by itself.
Source: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024), with its
quintic coefficients. Absent on purpose: distribution over devices.
"""

import torch


def orthogonalise(gradient: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """A matrix with the singular vectors of `gradient` and singular values near one, in bf16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = gradient.bfloat16()
    flipped = x.shape[0] > x.shape[1]
    if flipped:
        x = x.T.contiguous()
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if flipped else x


class Muon(torch.optim.Optimizer):
    """One group of two-dimensional parameters; `lr` is the size of one update's singular values."""

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                mixed = weight.grad.lerp(state["momentum"], group["momentum"])
                update = orthogonalise(mixed).float()
                scale = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update, alpha=-group["lr"] * scale)
