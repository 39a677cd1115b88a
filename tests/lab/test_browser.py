"""The lab in a browser: every chapter opened and turned, at every width, light and dark, by pointer and by keyboard."""

import re

import numpy
import pytest

from in_browser import IS_THERE, launched, violations, watched
from trimtab import data
from trimtab.lab.experiments import EXPERIMENTS
from trimtab.lab.experiments.network import OWN
from trimtab.lab.own_data import OwnData
from trimtab.lab.server import serving

pytestmark = [IS_THERE, pytest.mark.slow]
FEW_STEPS = {"line": "steps=20", "optimizers": "steps=30"}
# A move is in the address after so many milliseconds, and has been asked for.
UNTIL_TOLD = 250
OVER = "() => !document.querySelector('.said.waiting')"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The lab in this process, on fewer epochs and networks."""
    with pytest.MonkeyPatch.context() as patch:
        for name, epochs in (("duration", 60), ("sampling", 30), ("losses", 64), ("network", 10)):
            patch.setattr(f"trimtab.lab.experiments.{name}.EPOCHS", epochs)
        patch.setattr("trimtab.lab.experiments.network.CONFIGS", 16)
        patch.setattr("trimtab.lab.experiments.optimizers.RATES", numpy.geomspace(1e-3, 1.0, 4))
        patch.chdir(tmp_path_factory.mktemp("lab"))
        with serving(OwnData(), token="a-token") as (address, _):
            yield address


@pytest.fixture(scope="module")
def browser():
    with launched() as opened:
        yield opened


@pytest.fixture
def opened(browser, address):
    """A page of the lab at a chapter, with all that went to its console."""
    pages = []

    def open_page(chapter, **options):
        page = watched(browser.new_page(**({"viewport": {"width": 1280, "height": 900}} | options)))
        page.goto(address)
        page.wait_for_selector("#chapters a")
        page.goto(address.partition("?")[0] + f"#{chapter}")
        pages.append(page)
        page.wait_for_selector(f"#chapters a[href='#{chapter.partition('?')[0]}'][aria-current]")
        return page

    yield open_page
    for page in pages:
        page.close()


def turn_to(page, number):
    """Another chapter by its place above the page, which is there when the link says so."""
    page.locator("#chapters a", has_text=f"{number}.").click()
    page.wait_for_selector(f"#chapters li:nth-child({number}) a[aria-current]")


def ended(page):
    """What is said in the end; a chapter that asks for a guess first is shown without one."""
    uncover = page.get_by_role("button", name="Show me")
    if uncover.is_visible():
        uncover.click()
    page.wait_for_function(OVER, timeout=120_000)
    return page.locator(".said").first.inner_text()


def is_clean(page):
    assert violations(page) == []
    assert page.problems == []
    assert page.evaluate(UNSEEN) == []
    is_as_wide_as_its_window(page)


# Of a legend's entries, those whose mark has no colour.
UNSEEN = """() => [...document.querySelectorAll(".key i")].filter(each => {
    const { backgroundColor, backgroundImage } = getComputedStyle(each);
    return backgroundColor === "rgba(0, 0, 0, 0)" && backgroundImage === "none";
}).map(each => each.parentElement.innerText)"""


def is_as_wide_as_its_window(page):
    """At once, or when its curves have followed a window that was made narrower."""
    page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth", timeout=10_000)


@pytest.mark.parametrize(
    "chapter", [pytest.param(chapter, marks=() if chapter == "line" else pytest.mark.long) for chapter in EXPERIMENTS]
)
def test_a_chapter_is_clean_and_what_was_moved_in_it_is_found_again_by_its_address(opened, chapter):
    """In light on a wide screen and a tablet, and then, by the link, in the dark on a phone."""
    page = opened(f"{chapter}?{FEW_STEPS.get(chapter, '')}")
    said = ended(page)
    assert re.search(r"\d", said) and said.endswith(".")
    is_clean(page)
    page.set_viewport_size({"width": 768, "height": 1024})
    is_as_wide_as_its_window(page)
    page.set_viewport_size({"width": 1280, "height": 900})
    for control in EXPERIMENTS[chapter].controls:
        place = page.locator(f"#control-{control.name}")
        if control.kind in ("slider", "menu") and place.is_disabled():
            continue
        if control.kind == "slider" and control.name != "steps":
            place.focus()
            page.keyboard.press("Home")
            page.keyboard.press("ArrowRight")
        elif control.kind == "menu":
            last = [name for name, _ in control.options if name != OWN][-1]
            place.select_option(last)
            page.wait_for_timeout(UNTIL_TOLD)
            assert last == control.usual or f"{control.name}=" in page.url
    disabled = page.locator(".controls :is(input, select):disabled")
    without_effect = disabled.evaluate_all("found => found.map(each => each.id)")
    expected = ["control-stretch", "control-batch"] if chapter == "optimizers" else []
    assert without_effect == expected, "only the bowl has a stretch and rows"
    page.wait_for_timeout(UNTIL_TOLD)
    ended(page)
    again = opened(page.url.partition("#")[2], color_scheme="dark", viewport={"width": 390, "height": 844})
    ended(again)
    is_clean(again)
    for control in EXPERIMENTS[chapter].controls:
        if control.kind in ("slider", "menu"):
            place = f"label[for=control-{control.name}] output, select#control-{control.name}"
            shown = [each.locator(place).last.evaluate("each => each.value") for each in (page, again)]
            assert shown[0] == shown[1], control.name


def test_a_point_is_moved_added_and_taken_away_by_the_keyboard(opened):
    page = opened("line")
    ended(page)
    page.locator("canvas[role=application]").focus()
    page.keyboard.press("n")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("a")
    page.wait_for_timeout(UNTIL_TOLD)
    moved = page.url
    assert moved.count("%3B") == 16, "seventeen points"
    ended(page)
    page.keyboard.press("Delete")
    page.wait_for_timeout(UNTIL_TOLD)
    assert page.url.count("%3B") == 15
    assert page.problems == []


def test_a_part_is_painted_with_the_pointer_and_its_sliders_follow(opened):
    page = opened("sampling")
    ended(page)
    box = page.locator("canvas.paint").bounding_box()
    # From the left edge of the axis on, x = -1.1, to the right one, 1.1.
    left, wide = box["x"] + 44, box["width"] - 52
    page.mouse.move(left + wide * (0.5 + 1.1) / 2.2, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(left + wide * (-0.5 + 1.1) / 2.2, box["y"] + 120, steps=5)
    page.mouse.up()
    page.wait_for_timeout(UNTIL_TOLD)
    shown = [float(page.locator(f"label[for=control-{name}] output").inner_text()) for name in ("low", "high")]
    assert shown == pytest.approx([-0.5, 0.5], abs=0.02)
    assert "outside" in ended(page) and f"low={shown[0]:g}" in page.url
    assert page.problems == []


def test_a_network_learns_points_of_a_table_of_my_own(opened, tmp_path):
    path = tmp_path / "mine.csv"
    rows = [f"{100 + i % 7},{i % 5},x,{'yes' if i % 7 > 3 else 'no'}" for i in range(70)]
    path.write_text("\n".join(["weight,size,kind,answer", *rows]))
    page = opened("network?data=own")
    assert "no table yet" in ended(page) and page.locator("figure", has_text="no table yet").count() == 1
    page.locator("#control-own").set_input_files(path)
    page.wait_for_function('() => document.body.innerText.includes(\'70 rows: across "weight", up "size"\')')
    page.wait_for_timeout(UNTIL_TOLD)
    assert "of 16" in ended(page) and "mine.csv: 70 rows" in page.locator(".controls").inner_text()
    assert page.locator("#control-noise").is_disabled() and page.locator("#control-width").is_enabled()
    page.locator("#control-depth").focus()
    page.keyboard.press("Home")
    assert all(page.locator(f"#control-{name}").is_disabled() for name in ("width", "activation", "dropout"))
    page.keyboard.press("ArrowRight")
    assert page.locator("#control-width").is_enabled()
    ended(page)
    is_clean(page)
    again = opened(page.url.partition("#")[2])
    assert "of 16" in ended(again) and "70 rows" in again.locator(".controls").inner_text()
    turn_to(page, 1)
    ended(page)
    turn_to(page, 6)
    assert "of 16" in ended(page) and "mine.csv: 70 rows" in page.locator(".controls").inner_text()
    page.locator("text=Back to the start").click()
    page.wait_for_function("() => location.hash === '#network'")
    page.locator("#control-own").set_input_files({"name": "a.exe", "mimeType": "", "buffer": b"MZ"})
    page.wait_for_function("() => document.body.innerText.includes('is no table')")


def test_a_guess_is_made_by_the_keyboard_before_anything_is_shown_and_then_set_beside_what_came(opened):
    page = opened("line")
    choice = page.get_by_role("button", name="0.1 to 0.4")
    choice.focus()
    assert not page.locator(".stage").is_visible() and not page.locator(".said").is_visible()
    is_clean(page)
    page.keyboard.press("Enter")
    said = ended(page)
    assert said.startswith("You guessed 0.1 to 0.4; ") and "0.6441: more than you thought. Now turn the" in said
    assert not page.locator(".guess").is_visible(), "what was asked is answered"
    assert page.evaluate("() => document.activeElement.className") == "seen"
    page.locator("#control-rate").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "() => document.querySelector('.said').innerText.includes('Before, with Learning rate 0.1: weight')"
    )
    assert "You guessed" not in page.locator(".said").inner_text(), "it was a guess at something else"
    turn_to(page, 2)
    turn_to(page, 1)
    assert "You guessed" not in ended(page) and not page.get_by_role("button", name="Show me").is_visible()
    shared = opened("line?rate=0.3")
    assert "0.3 is below" in ended(shared) and not shared.get_by_role("button", name="Show me").is_visible()


@pytest.mark.parametrize("chapter", EXPERIMENTS)
def test_what_is_said_stands_on_one_screen_with_the_controls_and_the_rest_below_it(opened, chapter):
    page = opened(f"{chapter}?{FEW_STEPS.get(chapter, '')}", viewport={"width": 1280, "height": 800})
    ended(page)
    said, controls, stage = (page.locator(f".{name}").first.bounding_box() for name in ("said", "controls", "stage"))
    assert said["y"] == pytest.approx(controls["y"], abs=1) and said["y"] + said["height"] < 600
    assert controls["y"] + controls["height"] < 850, "the last control can be reached beside what is said"
    assert stage["y"] > said["y"] + said["height"]


def test_who_moves_a_control_before_a_guess_is_shown_what_happens(opened):
    page = opened("sampling")
    page.locator("#control-split").select_option("time")
    assert "promise" in ended(page)
    assert page.problems == []


def test_the_steps_of_a_training_can_be_watched_one_by_one(opened):
    page = opened("line?steps=20")
    ended(page)
    told = page.locator("output[for=look]")
    assert told.inner_text().startswith("step 20: weight")
    page.locator("#look").focus()
    page.keyboard.press("ArrowLeft")
    assert told.inner_text().startswith("step 19: weight")
    assert page.locator("#look").get_attribute("aria-valuetext") == told.inner_text()
    page.get_by_role("button", name="Watch the steps").click()
    assert told.inner_text().startswith("step 0: weight -1, bias 3.5")
    page.wait_for_function("() => document.querySelector('output[for=look]').innerText.startsWith('step 2:')")
    page.get_by_role("button", name="Stop").click()
    assert page.problems == []


# What two curves hold after one was made what the other is, and both went on.
COPIED = """async () => {
    const { Curves } = await import("/web/curves.js");
    const curves = new Curves({ series: [["a", () => "red"], ["b", () => "red"]], xName: "x", yName: "y", label: "" });
    curves.add(1, [5, null]);
    curves.copy(0, 1);
    curves.add(2, [6, null]);
    return curves.data;
}"""


def test_a_curve_that_was_copied_goes_on_by_itself(opened):
    page = opened("line")
    assert page.evaluate(COPIED) == [[1, 2], [5, 6], [5, None]]


def test_copying_leaves_the_weights_where_they_are_and_is_told_for_a_moment(opened):
    page = opened("line?steps=20")
    ended(page)
    page.get_by_role("button", name="Copy the link").click()
    page.wait_for_function("() => document.querySelector('.copied').innerText")
    assert page.get_by_role("link", name="Take the weights home").is_visible()
    page.wait_for_function("() => !document.querySelector('.copied').innerText", timeout=5_000)


def test_a_rate_beyond_the_edge_is_said_to_diverge(opened):
    page = opened("line?rate=0.9")
    assert "beyond all bounds" in ended(page)


def test_patience_is_read_off_at_once_and_nothing_is_trained_again(opened):
    page = opened("duration")
    ended(page)
    before = page.locator("figcaption").first.inner_text()
    page.locator("#control-patience").focus()
    page.keyboard.press("Home")
    assert page.locator("figcaption").first.inner_text() != before
    assert page.locator(".said.waiting").count() == 0
    page.locator("#control-patience").focus()
    page.keyboard.press("End")
    kept = re.search(r"error of ([\d.]+)", page.locator("figcaption").first.inner_text())
    assert f": {kept[1]} there" in page.locator(".said").inner_text(), "one number, written in one way"


def test_the_fit_is_told_of_the_epoch_that_is_drawn(opened):
    page = opened("duration")
    ended(page)
    page.locator("#look").focus()
    page.keyboard.press("Home")
    assert page.locator("#look").get_attribute("aria-valuetext") == "epoch 6"
    assert "After 6 epochs network 1" in page.locator("figcaption").last.inner_text()
    assert "has not learnt the truth yet" in page.locator("figcaption").last.inner_text()
    assert "(its lowest: 0.5" in page.locator("figcaption").last.inner_text()
    page.locator("#control-shown").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(UNTIL_TOLD)
    ended(page)
    assert "After 6 epochs network 2" in page.locator("figcaption").last.inner_text(), "the epoch looked at remains"
    noise = page.locator("#control-noise")
    noise.focus()
    page.keyboard.press("ArrowLeft")
    assert noise.get_attribute("aria-valuetext") == "0.38"
    page.keyboard.press("Home")
    page.wait_for_timeout(UNTIL_TOLD)
    ended(page)
    assert "The rows have no noise" in page.locator("figcaption").last.inner_text()
    assert page.problems == []


def test_the_code_is_shown_and_the_weights_go_home(opened):
    page = opened("line")
    ended(page)
    page.locator("summary").click()
    page.wait_for_function("() => document.querySelector('pre').textContent.includes('optim.SGD')")
    with page.expect_download() as download:
        page.locator("text=Take the weights home").click()
    assert download.value.suggested_filename == "weights.safetensors"


def test_a_table_of_my_own_is_tuned_while_one_watches(opened):
    page = opened("data")
    page.set_input_files("#file", str(data.path("concrete")))
    page.wait_for_selector("table")
    page.select_option("#budget", "30s")
    page.locator("text=Tune a network").click()
    page.wait_for_selector("text=trials", timeout=60_000)
    page.wait_for_timeout(3_000)
    page.locator("text=Stop with the best so far").click()
    page.wait_for_selector("text=Try it on a row", timeout=90_000)
    said = page.locator(".said").first.inner_text()
    assert said.startswith("rmse") and "test rows" in said and "On the validation rows" in said
    assert "left" not in page.locator(".facts").inner_text()
    page.wait_for_selector("text=prediction:")
    before = page.locator("text=prediction:").inner_text()
    page.locator("#row-0").focus()
    page.keyboard.press("End")
    page.wait_for_function(f"() => !document.body.innerText.includes({before!r})")
    with page.expect_download() as download:
        page.set_input_files("#new-table", str(data.path("concrete")))
    assert download.value.suggested_filename == "concrete-predictions.csv"
    page.wait_for_selector("text=1,030 rows were predicted.")
    is_clean(page)
    turn_to(page, 1)
    ended(page)
    turn_to(page, 7)
    page.wait_for_selector("text=Try it on a row", timeout=30_000)
    assert "Predicting strength_mpa." in page.locator("main").inner_text()
    assert page.locator(".said").first.inner_text() == said
    page.locator("text=Another table").click()
    page.wait_for_selector("text=Drop a table here")
    assert page.url.endswith("#data") and page.problems == []
