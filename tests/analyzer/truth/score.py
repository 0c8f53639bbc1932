"""Score the analyzer on runs whose truth is known: ``python tests/analyzer/truth/score.py``.

Each class of planted causes is made with fresh seeds, analysed as a user would, and compared with
what really happened. ``--class`` and ``--seed`` repeat a case; ``--verbose`` tells each miss.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from planted.classes import CLASSES
from planted.scoring import CHANCE, Score, score_of, wilson

HEAD = (
    f"{'class':<17}{'n':>4} {'right':>6} {'95 % interval':>15} {'largest span':>13} "
    f"{'share error':>22} {'bounds held':>12} {'ceiling error':>15} {'false alarms':>13}"
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="cases of each class")
    parser.add_argument("--class", dest="names", action="append", choices=sorted(CLASSES))
    parser.add_argument("--seed", type=int, help="the first seed; fresh ones without it")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="tell each miss, and its seed")
    args = parser.parse_args()
    names = args.names or list(CLASSES)
    first = random.SystemRandom().randrange(10**9) if args.seed is None else args.seed
    print(f"seeds from {first}\n\n{HEAD}")
    cases = [(name, first + i) for name in names for i in range(args.seeds)]
    scores: list[Score] = []
    with ProcessPoolExecutor(args.jobs) as pool:
        found = pool.map(score_of, *zip(*cases, strict=True))
        for name in names:
            of_class = [next(found) for _ in range(args.seeds)]
            scores += of_class
            print(line(name, of_class), flush=True)
            if args.verbose:
                for score in of_class:
                    tell(score)
    print(line("all", scores))
    print(f"chance: {100 * CHANCE:.0f} % right by naming a cause, or none, at random")
    return 0


def line(name: str, scores: list[Score]) -> str:
    """A row of the table."""
    n, right = len(scores), sum(score.right for score in scores)
    low, high = wilson(right, n)
    worst = max(scores, key=lambda score: score.share_error)
    median = sorted(score.share_error for score in scores)[n // 2]
    ceilings = [abs(s.ceiling_error) for s in scores if s.ceiling_error is not None]
    ceiling = ""
    if ceilings:
        within = sum(error <= 0.10 for error in ceilings)
        most = max(ceilings)
        told = "none" if math.isinf(most) else f"{100 * most:.0f} %"
        ceiling = f"{told}, {within}/{len(ceilings)}"
    share = f"{median:.1f}, {worst.share_error:.1f} {worst.share_group}"
    bounded, within = sum(score.bounded for score in scores), sum(score.held for score in scores)
    held = f"{within}/{bounded}" if bounded else ""
    return (
        f"{name:<17}{n:>4} {100 * right / n:>5.0f}% {100 * low:>7.0f} – {100 * high:<5.0f} "
        f"{100 * sum(s.trivial for s in scores) / n:>12.0f}% {share:>22} {held:>12} "
        f"{ceiling:>15} "
        f"{sum(bool(s.false_alarms) for s in scores):>13}"
    )


def tell(score: Score) -> None:
    """What went wrong, if anything did."""
    off = score.ceiling_error is not None and abs(score.ceiling_error) > 0.10
    forgets = score.memory_right is False
    if (
        score.right
        and not score.false_alarms
        and score.share_error <= 3
        and score.held == score.bounded
        and not off
        and not forgets
    ):
        return
    true = ", ".join(
        f"{cause} {100 * share:.0f} %"
        for cause, share in sorted(score.truth.items(), key=lambda one: -one[1])
        if share >= 0.01
    )
    print(f"    {score.name} --seed {score.seed}: right {score.right}, share error "
          f"{score.share_error:.1f} ({score.share_group}), bounds held {score.held} of "
          f"{score.bounded}, ceiling error {score.ceiling_error}, "
          f"memory {score.memory_right}, false {score.false_alarms}")  # fmt: skip
    print(f"      true: {true}\n      told: {score.says}")


if __name__ == "__main__":
    sys.exit(main())
