"""Packages that are missing are named, with the command that installs them; the others are imported only if used."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trimtab as tt
from trimtab.packages import required
from trimtab.tuning.ray_cluster import RayCluster, WorkersAsked

USES: dict[str, tuple[Callable[[], Any], str]] = {
    "lightning": (lambda: tt.Recorder().lightning(), r"recorder\.lightning\(\) needs lightning: pip install lightning"),
    "keras": (lambda: tt.Recorder().keras(), r"recorder\.keras\(\) needs keras: pip install keras"),
    "skorch": (lambda: tt.Recorder().skorch(), r"recorder\.skorch\(\) needs skorch: pip install skorch"),
    "transformers": (lambda: tt.Recorder().transformers(), "needs transformers: pip install transformers"),
    "tensorboard": (lambda: tt.TensorBoardLogger("logs"), r'needs tensorboard: pip install "trimtab\[tensorboard\]"'),
    "ray": (lambda: RayCluster(WorkersAsked(2)), r"workers= needs ray: pip install 'trimtab\[ray\]'"),
    "mlflow": (tt.MLflowLogger, r'tt\.MLflowLogger needs mlflow: pip install "trimtab\[mlflow\]"'),
}


@pytest.mark.parametrize("package", USES)
def test_a_package_that_is_missing_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use, message = USES[package]
    if package in ("keras", "skorch", "transformers"):  # whose classes are made when their file is imported
        monkeypatch.delitem(sys.modules, f"trimtab.recording.loops.{package}", raising=False)
    hidden = (package, "pytorch_lightning") if package == "lightning" else (package,)
    for name in [name for name in sys.modules if name.partition(".")[0] in hidden]:
        monkeypatch.delitem(sys.modules, name)

    class Hiding:
        def __init__(self, finder: Any) -> None:
            self.finder = finder

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, path, target)

    monkeypatch.setattr(sys, "meta_path", [Hiding(finder) for finder in sys.meta_path])
    with pytest.raises(tt.OptionError, match=message):
        use()


def test_a_package_that_is_broken_says_itself_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("import something_it_needs")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_it_needs"):
        required("broken_package", "we", "it")


def test_a_recorder_loads_none_of_them() -> None:
    code = (
        "import sys, trimtab as tt; r = tt.Recorder(); r.epoch(train_loss=1.0); r.run(); tt.TensorBoardLogger\n"
        f"assert not {{*{list(USES)}, 'pytorch_lightning', 'torch', 'matplotlib'}} & set(sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
