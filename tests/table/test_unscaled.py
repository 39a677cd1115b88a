"""Numbers in the units of the table, where everything else remains as it was prepared."""

import datetime

import numpy
import polars

from trimtab.table.prepare import prepare
from trimtab.table.unscaled import has_scaling, numbers_unscaled


def prepared_of(**columns):
    return prepare(polars.DataFrame(columns), target="y", test="none")


def test_numbers_and_moments_stand_in_their_own_units_and_the_rest_as_it_was():
    rng = numpy.random.default_rng(0)
    size = 60
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=int(day)) for day in rng.integers(0, 900, size)]
    area = [None if place == 7 else 100.0 + place for place in range(size)]
    prepared = prepared_of(area=area, sold=days, kind=["a", "b", "c"] * 20, y=rng.normal(size=size).tolist())
    found = numbers_unscaled(prepared.encoder, prepared.development, prepared.numbers)
    names = prepared.encoder.column_names
    rows = prepared.development
    known = rows["area"].is_not_null().to_numpy()
    place = names.index("area")
    assert numpy.allclose(found[known, place], rows["area"].drop_nulls().to_numpy())
    assert found[~known, place] == numpy.float32(prepared.encoder.features[0].scaling.center)
    since = rows["sold"].cast(polars.Int32).to_numpy()
    assert numpy.allclose(found[:, names.index("sold")], since)
    others = [number for number, name in enumerate(names) if name not in ("area", "sold")]
    assert (found[:, others] == prepared.numbers[:, others]).all()
    assert has_scaling(prepared.encoder)


def test_labels_alone_have_no_scale():
    rng = numpy.random.default_rng(0)
    prepared = prepared_of(kind=["a", "b", "c"] * 20, y=rng.normal(size=60).tolist())
    assert not has_scaling(prepared.encoder)
