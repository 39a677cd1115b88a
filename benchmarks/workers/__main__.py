"""Workers beside one process on the same cores.

python -m benchmarks.workers --parts efficiency
python -m benchmarks.workers --parts limits
python -m benchmarks.workers --parts start
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.page import machine
from benchmarks.tables import SHARED, read_tables
from benchmarks.workers import efficiency, limits, start

TABLES = "concrete,airfoil,phoneme,kin8nm,california,adult"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--parts", default="efficiency,limits,start")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the development sets")
    parser.add_argument("--tables", default=TABLES)
    parser.add_argument("--budget", default="45s", help="of each search, in efficiency")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--clients", default="1,2,4,8,16,100,1000", help="how many, in limits")
    parser.add_argument("--of-ray", default="1,2,4,8,16", help="how many that are actors of Ray, in limits")
    parser.add_argument("--seconds", type=int, default=40, help="of each search, in limits")
    asked = parser.parse_args()
    parts = asked.parts.split(",")
    print(machine(2), "\n")
    with tempfile.TemporaryDirectory() as folder:
        if "efficiency" in parts:
            tables = read_tables(asked.data, asked.tables.split(","))
            print(efficiency.page(tables, asked.budget, asked.repeats, Path(folder)), "\n")
        if "limits" in parts:
            counts, of_ray = ([int(each) for each in text.split(",") if each] for text in (asked.clients, asked.of_ray))
            print(limits.page(counts, of_ray, asked.seconds, Path(folder)), "\n")
        if "start" in parts:
            print(start.page(asked.repeats, Path(folder)), "\n")


if __name__ == "__main__":
    main()
