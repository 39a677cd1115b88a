"""How fast is the engine? Every figure beside a plain PyTorch loop, in the same process, alternating.

    python -m benchmarks.engine --quick
    python -m benchmarks.engine --json engine.json
    python -m benchmarks.engine --parts batching,memory
    python -m benchmarks.engine --parts all --compile-loop
    python -m benchmarks.engine --device cuda

Prints Markdown as it stands in RESULTS.md. The parts: shapes (the table; the only one by default), batching, by-hand,
usual-tool, scaling (plots under benchmarks/figures), start, signals, memory, idle, processes (populations of several
shapes), structures (forty of them compiled in one process), replays (a table's networks, nothing compiled).
"""

import argparse
import json
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.engine import table as shapes_table
from benchmarks.engine.shapes import SHAPES
from benchmarks.page import machine
from benchmarks.turns import Terms
from trimtab.machine import cores, keep_freed_memory

TABLE = "shapes"
PARTS = (
    "batching", "by-hand", "usual-tool", "scaling", "start", "signals", "memory", "idle", "processes", "structures",
    "replays",
)  # fmt: skip


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    shapes = [shape for shape in SHAPES if not options.shapes or shape.name in options.shapes.split(",")]
    parts = [TABLE, *PARTS] if options.parts == "all" else options.parts.split(",")
    if not shapes:
        parser.error(f"--shapes takes a list of: {', '.join(shape.name for shape in SHAPES)}")
    if not set(parts) <= {TABLE, *PARTS}:
        parser.error(f"--parts takes all, or a list of: {', '.join([TABLE, *PARTS])}")
    if options.device != "cpu" and parts != [TABLE]:
        parser.error(f'--device is for the part "{TABLE}" alone')
    if options.device != "cpu" and not torch.accelerator.is_available():
        parser.error(f"there is no {options.device} here, or a torch that has none: leave --device out")
    if options.json and TABLE not in parts:
        parser.error(f'--json holds the table: it needs the part "{TABLE}"')
    terms = Terms(
        is_quick=options.quick,
        threads=options.threads,
        lanes=int(options.lanes) if options.lanes.isdigit() else options.lanes,
        compiling=options.compiling,
        compiles_the_loop=options.compile_loop,
        device=options.device,
    )
    keep_freed_memory()
    print(machine(terms.threads), flush=True)
    if options.device != "cpu":
        print(f"On {torch.cuda.get_device_name(options.device)}.", flush=True)
    if TABLE in parts:
        entries = shapes_table.entries_of(shapes, terms)
        _show(TABLE, shapes_table.page(entries))
        if options.json:
            options.json.write_text(json.dumps([entry.to_json() for entry in entries], indent=1) + "\n")
    for name in PARTS:
        if name in parts:
            part = import_module(f"benchmarks.engine.{name.replace('-', '_')}")
            _show(name, part.page(shapes, terms))


def _show(name: str, page: str) -> None:
    print(f"\n### {name}\n\n{page}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="shorter and fewer turns: the table in under a minute")
    parser.add_argument("--parts", default=TABLE, help=f"all, or a list of: {', '.join([TABLE, *PARTS])}")
    parser.add_argument("--shapes", default="", help="inputs-width-layers-batch, separated by commas")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--threads", type=int, default=cores(), help="for the engine; the most for the loop")
    parser.add_argument("--lanes", default="search", help='a number, "own" or "search" (default)')
    parser.add_argument("--compiling", choices=("wait", "never", "beside"), default="wait")
    parser.add_argument("--device", default="cpu", help="where the table is measured: cpu (default), cuda")
    parser.add_argument("--compile-loop", action="store_true", help="also torch.compile on the plain loop (minutes)")
    return parser


if __name__ == "__main__":
    main()
