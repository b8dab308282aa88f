"""Turns measured values into the table's lines, and those into Markdown and JSON.

Called by compare.py. Values are kept by (work, engine), one dictionary of metrics a round, empty
when a run failed.
"""

import platform
from statistics import median

import limits
from cases import Row
from engines import ENGINES, TITLES, Spec

Measured = dict[tuple[Spec, str], list[dict[str, float]]]


class Line:
    """A row with its figures."""

    def __init__(self, row: Row, measured: Measured, models: dict, found: dict) -> None:
        self.row = row
        self.values = {engine: self._values(measured, engine) for engine in ENGINES}
        pairs = zip(self.values["ours"], self.values["tuned"])
        ratios = [ours / tuned for ours, tuned in pairs if ours and tuned]
        self.ratio = median(ratios) if ratios else None
        self.of_limit = self._of_limit(measured, models, found)

    def _values(self, measured: Measured, engine: str) -> list[float | None]:
        rounds = [one.get(self.row.metric) for one in measured[self.row.spec, engine]]
        if self.row.against is None:
            return rounds
        others = [one.get(self.row.metric) for one in measured[self.row.against, engine]]
        return [100 * a / b if a and b else None for a, b in zip(rounds, others)]

    def _of_limit(self, measured: Measured, models: dict, found: dict) -> float | None:
        """Our median as a percentage of what the machine allows."""
        spec = self.row.spec
        ours = self.figures("ours")
        weights = [one.get("weight_bytes") for one in measured[spec, "ours"]]
        if self.row.against or ours is None or spec.busy or not any(weights):
            return None
        bound = limits.at_best(
            self.row.metric, spec, models[spec.model], max(filter(None, weights)),
            found.get(spec.threads, {}),
        )
        return 100 * ours[0] / bound if bound else None

    def figures(self, engine: str) -> tuple[float, float, float] | None:
        """Median, least and most."""
        known = [value for value in self.values[engine] if value is not None]
        return (median(known), min(known), max(known)) if known else None

    def as_json(self) -> dict:
        row = self.row
        said = {"case": row.case, "title": row.title, "unit": row.unit, "values": self.values}
        for engine in ENGINES:
            figures = self.figures(engine)
            said[engine] = dict(zip(("median", "least", "most"), figures)) if figures else None
        return {**said, "ratio_to_tuned": self.ratio, "percent_of_limit": self.of_limit}


def elsewhere(measured: Measured) -> dict[str, float]:
    """How much of the cores other programs and machines took, where none were started by us."""
    shares = [
        one["elsewhere_percent"]
        for (spec, _), rounds in measured.items()
        for one in rounds
        if one and not spec.busy
    ]
    return {"median": median(shares), "most": max(shares)} if shares else {}


def processor() -> str:
    """The processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _cell(figures: tuple[float, float, float] | None) -> str:
    if figures is None:
        return "-"
    digits = 0 if figures[0] >= 1000 else 1 if figures[0] >= 10 else 2
    middle, least, most = (f"{figure:.{digits}f}" for figure in figures)
    return f"{middle} ({least} to {most})"


def markdown(lines: list[Line], machine: dict) -> str:
    """The table, and below it what it stands on."""
    head = ["case", "what", "unit", *TITLES.values(), "ratio to tuned", "% of limit"]
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for line in lines:
        ratio = f"{line.ratio:.2f}" if line.ratio else "-"
        of_limit = f"{line.of_limit:.0f}" if line.of_limit else "-"
        cells = [_cell(line.figures(engine)) for engine in ENGINES]
        row = [line.row.case, line.row.title, line.row.unit, *cells, ratio, of_limit]
        out.append("| " + " | ".join(row) + " |")
    out.append(f"\n{machine['processor']}, {machine['cores']} cores; rounds: {machine['rounds']}.")
    for count, found in machine["limits"].items():
        out.append(
            f"Limits with {count} thread{'s' if count > 1 else ''}: reading "
            f"{found['read_gb_s']:.1f} GB/s, int8 {found['int8_gop_s']:.0f} GOP/s, "
            f"fp32 {found['fp32_gflop_s']:.0f} GFLOP/s."
        )
    shares = machine["elsewhere_percent"]
    if shares:
        out.append(
            f"Other programs took {shares['median']:.0f} % of the cores (median), at most "
            f"{shares['most']:.0f} %."
        )
    return "\n".join(out)
