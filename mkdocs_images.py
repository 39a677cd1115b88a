"""The pictures of the lab in README and docs, taken anew: `make images`. Needs Debian's Chromium."""

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

OUT = Path(__file__).parent / "docs" / "lab"
# Chapter, colours, and the height that is shown of it.
PICTURES = (("optimizers", "light", 1010), ("duration", "light", 1010), ("network", "dark", 1010))
WIDTH = 1280


def main() -> None:
    OUT.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "trimtab", "lab", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as lab, sync_playwright() as playwright:
        assert lab.stdout is not None
        address = lab.stdout.readline().strip()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for chapter, scheme, height in PICTURES:
            size = {"width": WIDTH, "height": height}
            page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(address)
            page.wait_for_selector("#chapters a")
            page.goto(address.partition("?")[0] + f"#{chapter}")
            uncover = page.get_by_role("button", name="Show me")
            if uncover.is_visible():
                uncover.click()
            page.wait_for_function("() => !document.querySelector('.said.waiting')")
            page.wait_for_timeout(500)
            page.screenshot(path=OUT / f"{chapter}.png")
            print(OUT / f"{chapter}.png")  # noqa: T201 - what it is for
        browser.close()
        lab.terminate()


if __name__ == "__main__":
    main()
