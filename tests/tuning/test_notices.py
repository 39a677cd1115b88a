from trimtab.training.config import Config
from trimtab.tuning.notices import edge_notices
from trimtab.tuning.space import space_for
from trimtab.tuning.trial import COMPLETE, TrialRecord

SPACE = space_for("regression", "rmse", rows=800, columns=8, fixed={})


def notices(**values):
    return edge_notices(TrialRecord(0, "", values, Config(), COMPLETE, 1.0), SPACE)


def test_a_winner_at_the_edge_is_said_with_the_flag_to_change():
    assert "--width" in notices(width=256)[0]
    assert "--lr" in notices(lr=0.99)[0] and "beyond" in notices(lr=0.99)[0]
    assert "below" in notices(lr=1.01e-5)[0]
    assert "--batch-size" in notices(batch_size=128)[0]


def test_a_winner_inside_its_ranges_is_not_remarked_on():
    assert notices(width=128, lr=0.003, dropout=0.0, depth=2, activation="tanh") == []
