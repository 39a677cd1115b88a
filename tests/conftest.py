"""What tests share: where the real data sets are, when they are there at all."""

import os
from pathlib import Path

import pytest

# Read by scipy when it is imported first; without it scikit-learn skips some of its checks of estimators.
os.environ["SCIPY_ARRAY_API"] = "1"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets in or beside the repository; the test is skipped where there is none."""
    repository = Path(__file__).resolve().parents[1]
    for place in (repository, repository.parent):
        if (place / "shared" / "data" / "index.json").exists():
            return place / "shared" / "data"
    pytest.skip("the real data sets (shared/data) are not here")
