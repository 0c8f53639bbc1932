"""Models of throughput over load, fitted by weighted least squares: N sessions, X(N) turns a second.

Gunther's Universal Scalability Law X(N) = γN / (1 + α(N-1) + βN(N-1)) with 0 ≤ α, β ≤ 1; Amdahl's
law, which is the same with β = 0; the asymptotes min(γN, c) of a single bottleneck; proportion γN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ROUNDS: Final = 40
PARAMETERS: Final = {"linear": 2, "asymptotes": 3, "amdahl": 3, "usl": 4}
"""Of each model, the variance of the error among them."""


@dataclass(frozen=True)
class Fit:
    """One model fitted to loads and throughputs."""

    model: str
    gamma: float
    alpha: float = 0.0
    beta: float = 0.0
    most: float = math.inf
    """The plateau of the asymptotes."""

    def at(self, n: Floats) -> Floats:
        """Throughput at so many sessions."""
        found: Floats = np.minimum(
            self.most, self.gamma * n / (1 + self.alpha * (n - 1) + self.beta * n * (n - 1))
        )
        return found

    @property
    def peak(self) -> float:
        """Sessions at which throughput is at its most; infinite where it only grows."""
        if self.model == "asymptotes":
            return self.most / self.gamma
        return math.sqrt((1 - self.alpha) / self.beta) if self.beta > 0 else math.inf


def fit_of(model: str, n: Floats, x: Floats, weight: Floats, start: Fit | None = None) -> Fit:
    """The model's weighted least squares fit; ``start`` is one that is not far from it."""
    if model == "linear":
        return Fit("linear", float((weight * n * x).sum() / (weight * n * n).sum()))
    if model == "asymptotes":
        return _asymptotes(n, x, weight)
    return _curve(model, n, x, weight, start)


def _asymptotes(n: Floats, x: Floats, weight: Floats) -> Fit:
    """Proportion up to some load, a plateau from there: the split with the least error."""
    best, least = (
        Fit("asymptotes", float((weight * n * x).sum() / (weight * n * n).sum())),
        math.inf,
    )
    for split in range(1, n.size):
        order = np.argsort(n)
        low, high = order[:split], order[split:]
        gamma = float((weight * n * x)[low].sum() / (weight * n * n)[low].sum())
        most = float((weight * x)[high].sum() / weight[high].sum())
        fit = Fit("asymptotes", gamma, most=most)
        error = float((weight * (x - fit.at(n)) ** 2).sum())
        if error < least and most > 0 and gamma > 0:
            best, least = fit, error
    return best


def _curve(model: str, n: Floats, x: Floats, weight: Floats, start: Fit | None) -> Fit:
    """Amdahl's law or the universal one: linear in 1/γ, α/γ, β/γ, then refined.

    N / X = (1 + α(N-1) + βN(N-1)) / γ gives the start; Gauss–Newton steps with Levenberg's damping
    go on from there, and a parameter that would leave [0, 1] stays at its end.
    """
    use_beta = model == "usl"
    if start is None:
        p = _started(n, x, weight, use_beta)
    else:
        p = np.array([start.gamma, start.alpha, start.beta][: 3 if use_beta else 2])
    root, damping = np.sqrt(weight), 1e-3

    def value(q: Floats) -> Floats:
        below = 1 + q[1] * (n - 1) + (q[2] * n * (n - 1) if use_beta else 0.0)
        found: Floats = q[0] * n / below
        return found

    error = float(((root * (x - value(p))) ** 2).sum())
    for _ in range(ROUNDS):
        below = 1 + p[1] * (n - 1) + (p[2] * n * (n - 1) if use_beta else 0.0)
        slope = [n / below, -p[0] * n * (n - 1) / below**2]
        if use_beta:
            slope.append(-p[0] * n * n * (n - 1) / below**2)
        jacobian = np.stack(slope, axis=1) * root[:, np.newaxis]
        residual = root * (x - value(p))
        moment, gradient = jacobian.T @ jacobian, jacobian.T @ residual
        # A parameter at its end that would go further out is left out of the step.
        free = np.array([True, *((p[1:] > 0) | (gradient[1:] > 0))])
        step = np.zeros_like(p)
        diagonal = np.diag(np.maximum(np.diag(moment), 1e-300))
        step[free] = np.linalg.solve(
            (moment + damping * diagonal)[np.ix_(free, free)], gradient[free]
        )
        trial = p + step
        trial[1:] = np.clip(trial[1:], 0.0, 1.0)
        trial[0] = max(trial[0], 1e-12)
        found = float(((root * (x - value(trial))) ** 2).sum())
        if found <= error:
            gained = error - found
            p, error, damping = trial, found, damping / 3
            if gained <= 1e-9 * error:
                break
        else:
            damping *= 4
            if damping > 1e8:
                break
    return Fit(model, float(p[0]), float(p[1]), float(p[2]) if use_beta else 0.0)


def _started(n: Floats, x: Floats, weight: Floats, use_beta: bool) -> Floats:
    """Parameters by linear least squares, each error weighted as it counts in throughput."""
    columns = [np.ones_like(n), n - 1] + ([n * (n - 1)] if use_beta else [])
    design = np.stack(columns, axis=1)
    each = n / np.maximum(x, 1e-12)
    w = np.sqrt(weight) / (each * each) * n
    found, *_ = np.linalg.lstsq(design * w[:, np.newaxis], each * w, rcond=None)
    if found[0] <= 0:
        return np.array([1 / float(each.min()), *np.zeros(design.shape[1] - 1)])
    return np.array([1 / found[0], *np.clip(found[1:] / found[0], 0.0, 1.0)])


def aicc_of(fit: Fit, n: Floats, x: Floats, weight: Floats) -> float:
    """Akaike's criterion for few observations: less is better."""
    k, size = PARAMETERS[fit.model], n.size
    share = weight / weight.mean()
    error = max(float((share * (x - fit.at(n)) ** 2).sum()), 1e-9 * float((x * x).sum()))
    return size * math.log(error / size) + 2 * k + 2 * k * (k + 1) / (size - k - 1)
