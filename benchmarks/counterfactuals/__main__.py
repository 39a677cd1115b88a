"""Do intervals of counterfactuals cover what they are of, and how far does luck favour a winner? Measured where the
truth is known.

python -m benchmarks.counterfactuals                            # simulated scores, real trainings, real searches
python -m benchmarks.counterfactuals --trained 0 --searches 0   # simulated scores alone
"""

import argparse

from benchmarks.counterfactuals import luck, simulated, trained


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.counterfactuals", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--simulated", type=int, default=1_000, help="studies of simulated scores")
    parser.add_argument("--trained", type=int, default=100, help="studies of real trainings")
    parser.add_argument("--searches", type=int, default=16, help="searches for each number of trials")
    options = parser.parse_args()
    if options.simulated:
        print(simulated.page(options.simulated))
    if options.trained:
        print(trained.page(options.trained))
    if options.searches:
        print(luck.page(options.searches))


if __name__ == "__main__":
    main()
