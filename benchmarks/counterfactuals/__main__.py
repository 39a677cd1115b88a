"""Do intervals of counterfactuals cover what they are of? Measured where the truth is known.

python -m benchmarks.counterfactuals                 # simulated scores, then real trainings
python -m benchmarks.counterfactuals --trained 0     # simulated scores alone
"""

import argparse

from benchmarks.counterfactuals import simulated, trained


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.counterfactuals", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--simulated", type=int, default=1_000, help="studies of simulated scores")
    parser.add_argument("--trained", type=int, default=100, help="studies of real trainings")
    options = parser.parse_args()
    print(simulated.page(options.simulated))
    if options.trained:
        print(trained.page(options.trained))


if __name__ == "__main__":
    main()
