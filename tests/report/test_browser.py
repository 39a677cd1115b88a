"""The page in a browser: nothing on its console, nothing that axe-core finds, and what a pointer and a keyboard do."""

import pytest

import trimtab as tt
from in_browser import IS_THERE, launched, violations, watched
from made_accounts import account
from trimtab import data
from trimtab.report.page.page import Answer, Page, Section
from trimtab.report.worth_charts import choices_chart, path_chart, stopping_chart

pytestmark = IS_THERE


@pytest.fixture(scope="module")
def browser():
    with launched() as opened:
        yield opened


@pytest.fixture(scope="module")
def study(tmp_path_factory, few_epochs):
    folder = tmp_path_factory.mktemp("report")
    return tt.tune(data.path("concrete"), target="strength_mpa", trials=6, out=folder / "study").report()


@pytest.fixture(scope="module")
def choices(tmp_path_factory):
    charts = [chart for chart in (choices_chart(account()), path_chart(account()), stopping_chart(account())) if chart]
    page = Page(Answer("study", "A study", ["An answer."]), [Section("worth", "Choices", charts=charts)], "1")
    return page.write(tmp_path_factory.mktemp("choices") / "choices.html")


@pytest.fixture
def opened(browser, request):
    """A page by the fixture that wrote it, with all that went to its console."""
    pages = []

    def open_page(path, **options):
        page = watched(browser.new_page(**({"viewport": {"width": 1000, "height": 900}} | options)))
        page.goto(path.resolve().as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


# Colours do not follow from the width, nor what sticks out from the colours.
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (768, "light"), (390, "dark")])
def test_nothing_is_found_and_nothing_sticks_out(opened, study, choices, scheme, width):
    for path in (study, choices)[: 1 if width == 768 else 2]:
        page = opened(path, color_scheme=scheme, viewport={"width": width, "height": 900})
        assert violations(page) == []
        assert page.problems == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_one_picture_of_each_figure_is_shown_at_every_width(opened, study):
    for width, shown in ((1280, "wide"), (390, "narrow")):
        page = opened(study, viewport={"width": width, "height": 900})
        assert all(each.is_visible() for each in page.locator(f"svg.{shown}").all())
        other = "narrow" if shown == "wide" else "wide"
        assert not any(each.is_visible() for each in page.locator(f"svg.{other}").all())


def test_a_mark_says_what_it_is(opened, choices):
    page = opened(choices)
    page.locator("svg.wide .good-dot").first.hover()
    assert page.locator("#tip").is_visible()
    assert page.locator("#tip").inner_text().startswith("width 256: 0.2100 rmse")
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()


def test_a_stretch_of_a_knob_shows_only_the_runs_in_it(opened, study):
    page = opened(study)
    plate = page.locator("#knobs svg.wide .plate").first
    plate.scroll_into_view_if_needed()
    box = plate.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 1, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, middle, steps=4)
    page.mouse.up()
    everything, dimmed = page.locator("[data-run]").count(), page.locator("[data-run].dimmed").count()
    assert 0 < dimmed < everything
    page.mouse.click(box["x"] + 1, middle)
    assert page.locator("[data-run].dimmed").count() == 0


def test_numbers_are_reached_and_copied_by_the_keyboard(opened, choices):
    page = opened(choices)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    summary = page.locator("#choices summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#choices table").is_visible()
    button = page.locator("#choices button")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#said').textContent === 'Copied'")


def test_without_scripts_everything_can_be_read(browser, study):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(study.resolve().as_uri())
    assert page.locator("figure svg.wide").first.is_visible()
    page.locator("#trials summary").click()
    assert page.locator("#trials table").is_visible()
    assert page.locator("#trials svg.wide title").count() > 5
    context.close()
