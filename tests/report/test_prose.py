from trimtab.report.page.page import prose


def test_a_number_keeps_its_per_cent_and_an_option_its_name() -> None:
    told = str(prose("Half of it, -5.6 % [-8, -2], says --no-neighbours."))
    assert "5.6\N{NO-BREAK SPACE}%" in told and '<span class="whole">--no-neighbours</span>' in told


def test_what_was_written_by_others_stays_text() -> None:
    assert str(prose("<b>--x</b> & more")) == '&lt;b&gt;<span class="whole">--x</span>&lt;/b&gt; &amp; more'
