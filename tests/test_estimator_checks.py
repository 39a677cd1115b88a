"""scikit-learn's own checks of an estimator: all of them, none skipped and none expected to fail."""

import warnings
from functools import partial
from unittest import SkipTest

import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

import trimtab as tt

pytestmark = pytest.mark.slow
# As few and as short trials as learn what the checks ask for.
SMALL = {"trials": 1, "epochs": 30, "width": 16}
# What compares fits compares what they choose among, too: the second trial has dropout, and both may be averaged.
COMPARING, MORE_TRIALS = ("equivalence", "idempotent", "invariance"), 2


def checks():
    for estimator in (tt.TrimtabRegressor(**SMALL), tt.TrimtabClassifier(**SMALL)):
        for instance, check in estimator_checks_generator(estimator):
            if any(word in named(check) for word in COMPARING):
                instance = clone(instance).set_params(trials=MORE_TRIALS)
            yield pytest.param(instance, check, id=f"{type(estimator).__name__}-{named(check)}")


def named(check: partial) -> str:
    inner = check.func
    options = dict(check.keywords)
    while isinstance(inner, partial):
        options |= inner.keywords
        inner = inner.func
    return "-".join([inner.__name__, *(f"{name}={value}" for name, value in options.items())])


CHECKS = list(checks())


def test_scipy_read_the_setting_without_which_a_check_is_skipped():
    from scipy._lib._array_api import SCIPY_ARRAY_API

    assert SCIPY_ARRAY_API


def test_there_are_checks_of_everything():
    names = [param.id.split("-")[1] for param in CHECKS]
    assert len(CHECKS) > 100 and len({param.id for param in CHECKS}) == len(CHECKS)
    for name in (
        "check_sample_weight_equivalence_on_dense_data", "check_methods_subset_invariance", "check_estimators_pickle",
        "check_array_api_input", "check_methods_sample_order_invariance",
    ):  # fmt: skip
        assert names.count(name) >= 2, name


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_check(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check(estimator)
        except SkipTest as reason:
            pytest.fail(f"skipped: {reason}")
