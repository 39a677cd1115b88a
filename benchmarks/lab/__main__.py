"""How quick the lab is, and what it leaves behind.

python -m benchmarks.lab
python -m benchmarks.lab --moves 10 --actions 200
"""

import argparse
import gc
import json
import shutil
import statistics
import time
from typing import Any

import numpy
import psutil
from playwright.sync_api import Page, sync_playwright

from trimtab.lab.experiments import EXPERIMENTS
from trimtab.lab.own_data import OwnData
from trimtab.lab.server import serving
from trimtab.machine import lanes_in_threads

FIRST_FRAME = "() => Number(document.body.dataset.firstFrame ?? -1)"
# What Chromium's own recorder of performance is told to note: each task of each thread.
TASKS = ["disabled-by-default-devtools.timeline", "__metadata"]
# Shorter ones are timers and the like, of which there are thousands: they would make any percentile look good.
SHORTEST = 1.0


def moved(page: Page, name: str, key: str) -> float:
    """Milliseconds from a move of a slider to the first new curve, what is waited for before it is sent included."""
    page.evaluate("() => { document.body.dataset.firstFrame = -1; }")
    control = next(each for each in EXPERIMENTS[name].controls if each.kind == "slider" and not each.instant)
    began = time.perf_counter()
    page.locator(f"#control-{control.name}").press(key)
    page.wait_for_function("() => Number(document.body.dataset.firstFrame) >= 0", polling=5, timeout=60_000)
    return 1000 * (time.perf_counter() - began)


def tasks_of(trace: bytes) -> list[float]:
    """Milliseconds of each task of at least `SHORTEST` of the page's main thread, in rising order."""
    events = json.loads(trace)["traceEvents"]
    mains = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    tasks = [each for each in events if each["name"] == "RunTask" and (each["pid"], each["tid"]) in mains]
    return sorted(each["dur"] / 1000 for each in tasks if each.get("dur", 0) >= 1000 * SHORTEST)


def open_chapter(page: Page, address: str, name: str) -> None:
    page.goto(f"{address}#{name}")
    page.wait_for_selector(f"#chapters a[href='#{name}'][aria-current]")
    uncover = page.get_by_role("button", name="Show me")
    if uncover.is_visible():
        uncover.click()
    page.wait_for_function("() => !document.querySelector('.said.waiting')", timeout=120_000)


def measured(moves: int, actions: int) -> list[tuple[str, str, str]]:
    """What was measured, how it came out, and what is asked."""
    rows: list[tuple[str, str, str]] = []
    with lanes_in_threads(), serving(OwnData(), token="token") as (opened, app), sync_playwright() as playwright:
        address, streams = opened.partition("?")[0], app.state.streams
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        began = time.perf_counter()
        page.goto(opened)
        page.wait_for_selector("#chapters a")
        rows.append(("first page, seconds", f"{time.perf_counter() - began:.2f}", "1"))
        for name in EXPERIMENTS:
            open_chapter(page, address, name)
            taken = [moved(page, name, "PageDown" if place % 2 else "PageUp") for place in range(moves)]
            page.wait_for_function("() => !document.querySelector('.said.waiting')", timeout=120_000)
            rows.append((f"{name}: a moved slider, ms (median)", f"{statistics.median(taken):.0f}", "300"))
            browser.start_tracing(page=page, categories=TASKS)
            moved(page, name, "PageUp")
            page.wait_for_function("() => !document.querySelector('.said.waiting')", timeout=120_000)
            tasks = tasks_of(browser.stop_tracing())
            percentile = numpy.percentile(tasks, 95) if tasks else 0.0
            told = f"{percentile:.0f} of {len(tasks)}; the longest {max(tasks, default=0):.0f}"
            rows.append((f"{name}: tasks of a millisecond and more while it learns, ms (95 %)", told, "50"))
        rows += remains(page, address, actions)
        page.goto(f"{address}#network")
        page.wait_for_function(f"({FIRST_FRAME})() >= 0", timeout=60_000)
        page.close()
        began = time.perf_counter()
        while streams.training and time.perf_counter() - began < 60:
            time.sleep(0.02)
        rows.append(("a closed tab's training ends after, seconds", f"{time.perf_counter() - began:.2f}", "2"))
        browser.close()
    return rows


def remains(page: Page, address: str, actions: int) -> list[tuple[str, str, str]]:
    """Memory after so many moves, beside that after a tenth of them."""
    open_chapter(page, address, "line")
    session = page.context.new_cdp_session(page)

    def held() -> tuple[float, float]:
        session.send("HeapProfiler.collectGarbage")
        gc.collect()
        metrics: dict[str, Any] = {
            each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]
        }
        return psutil.Process().memory_info().rss / 2**20, metrics["JSHeapUsedSize"] / 2**20

    session.send("Performance.enable")
    before = (0.0, 0.0)
    for place in range(actions):
        page.locator("#control-rate").press("ArrowRight" if place % 2 else "ArrowLeft")
        page.wait_for_timeout(50)
        if place == actions // 10:
            before = held()
    page.wait_for_function("() => !document.querySelector('.said.waiting')", timeout=60_000)
    after = held()
    return [
        (f"server's memory after {actions} moves, MB", f"{before[0]:.0f} -> {after[0]:.0f}", "within 5 %"),
        (f"page's memory after {actions} moves, MB", f"{before[1]:.1f} -> {after[1]:.1f}", "within 5 %"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--moves", type=int, default=20, help="of a slider in each chapter")
    parser.add_argument("--actions", type=int, default=2_000)
    asked = parser.parse_args()
    print("| what | measured | asked |\n| --- | --- | --- |")
    for row in measured(asked.moves, asked.actions):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
