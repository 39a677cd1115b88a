import logging
import threading
import warnings

import optuna
import pytest

from trimtab.settings.quiet import quiet_logs, quietly


def in_turns(context, inside):
    """Two threads at once in `context`, if it lets them; the first that enters leaves first."""
    is_in, is_out = threading.Event(), threading.Event()

    def run(waits_for, says):
        waits_for.wait(0.2)
        with context():
            is_in.set()
            inside()
            says.wait(0.2)
        is_out.set()

    threads = [threading.Thread(target=run, args=each) for each in ((is_out, is_in), (is_in, is_out))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_filters_are_as_before_when_two_threads_overlap():
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        in_turns(quietly, lambda: warnings.warn("nobody hears this", stacklevel=1))
    assert not heard and list(warnings.filters) == before


def test_loggers_are_as_before_when_two_threads_overlap():
    logger = logging.getLogger("optuna.study")
    before = list(logger.filters)
    in_turns(lambda: quiet_logs("optuna"), lambda: None)
    assert logger.filters == before


def test_a_thread_that_is_not_quiet_keeps_its_warnings():
    is_quiet, is_done = threading.Event(), threading.Event()

    def be_quiet():
        with quietly():
            warnings.warn("nobody hears this", stacklevel=1)
            is_quiet.set()
            is_done.wait(5)

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        thread = threading.Thread(target=be_quiet)
        thread.start()
        is_quiet.wait(5)
        warnings.warn("the caller hears this", stacklevel=1)
        is_done.set()
        thread.join()
        warnings.warn("and this", stacklevel=1)
    assert [str(warning.message) for warning in heard] == ["the caller hears this", "and this"]


def test_an_error_is_no_reason_to_stay_quiet():
    before = list(warnings.filters)
    with pytest.raises(ValueError, match="inside"), quietly(), quietly():
        raise ValueError("inside")
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)


def test_what_optuna_logs_is_for_others_as_loud_as_they_like():
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    verbosity, logger = optuna.logging.get_verbosity(), logging.getLogger("optuna")
    logger.addHandler(handler)
    try:
        optuna.logging.set_verbosity(optuna.logging.INFO)
        with quiet_logs("optuna"):
            optuna.create_study(study_name="ours")
            logging.getLogger("optuna.study").warning("a warning is not kept back")
        optuna.create_study(study_name="theirs")
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        logger.removeHandler(handler)
        optuna.logging.set_verbosity(verbosity)
    assert len(lines) == 2 and "kept back" in lines[0] and "theirs" in lines[1]
