"""The lab's addresses: who is let in, what is refused in a sentence, and that nothing a page sends breaks it."""

import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy
import polars
import pytest
from safetensors.torch import load as load_weights
from starlette.testclient import TestClient

import trimtab as tt
from trimtab import data
from trimtab.errors import OptionError, StudyError
from trimtab.lab.app import application
from trimtab.lab.experiments import EXPERIMENTS
from trimtab.lab.own_data import OwnData
from trimtab.lab.own_model import beside_columns, bounds_in_words
from trimtab.lab.own_study import OwnStudy, kept, without_command
from trimtab.lab.server import serve, serving
from trimtab.tuning.folder import StudyFolder

TOKEN, PORT = "a-token-of-our-own", 8123
HERE = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def own():
    kept = OwnData()
    yield kept
    kept.close()


@pytest.fixture
def stranger(own, monkeypatch):
    monkeypatch.setattr("trimtab.lab.app._warm_up", lambda: None)
    with TestClient(application(token=TOKEN, port=lambda: PORT, own=own), base_url=HERE) as client:
        yield client


@pytest.fixture
def client(stranger):
    assert stranger.get(f"/?token={TOKEN}").status_code == 200
    return stranger


def events_of(text):
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


# -- who is let in


def test_without_its_token_nothing_is_shown(stranger):
    for path in ("/", "/lab.json", "/web/lab.js", "/experiments/line/events", "/own/x/report"):
        refused = stranger.get(path)
        assert refused.status_code == 403 and "token" in refused.text
    assert stranger.get("/?token=another").status_code == 403
    assert stranger.get("/", headers={"cookie": f"trimtab_lab_{PORT}=another"}).status_code == 403


def test_the_token_is_kept_in_a_cookie_and_leaves_the_address(stranger):
    answer = stranger.get(f"/?token={TOKEN}&x=1", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/?x=1"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", "[::1]:8123", ""])
def test_another_name_for_this_machine_is_refused(client, host):
    assert client.get("/lab.json", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", f"https://127.0.0.1:{PORT}", "http://127.0.0.1:1"])
def test_a_page_of_others_is_refused(client, origin):
    assert client.post("/own?name=a.csv", content=b"x\n1", headers={"origin": origin}).status_code == 403
    assert client.get("/lab.json", headers={"origin": HERE}).status_code == 200


def test_every_answer_has_a_policy(client):
    for path in ("/", "/lab.json", "/web/lab.js", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path", ["/web/../app.py", "/web/%2e%2e/app.py", "/web/..%2f..%2fetc/passwd", "/web//etc/passwd"]
)
def test_no_path_leads_out(client, path):
    assert client.get(path).status_code == 404


# -- experiments


def test_an_experiment_streams_what_happens_and_its_weights_can_be_taken_home(client):
    text = client.get("/experiments/line/events", params={"values": '{"steps": 10}'}).text
    events = events_of(text)
    assert [event["kind"] for event in events] == ["begin", *["frame"] * 10, "end"]
    weights = load_weights(client.get(f"/weights/{events[-1]['weights']}").content)
    assert weights["weight"].item() == pytest.approx(events[-2]["at"][0], abs=1e-3)
    assert client.get("/weights/nothing").status_code == 404


def test_what_cannot_be_is_said(client):
    for path, status, said in (
        ("/experiments/line/events?values={", 400, "no JSON object"),
        ('/experiments/line/events?values={"rate":5}', 400, "from 0.001 to 1"),
        ("/experiments/lines/events", 404, 'no experiment "lines"'),
        ("/experiments/line/code?values=" + "1" * 30_000, 400, "too long"),
        ("/own/x/report", 404, "no longer here"),
        ("/nothing", 404, "nothing at this address"),
    ):
        answer = client.get(path)
        assert answer.status_code == status and said in answer.json()["sentence"], path
    assert client.delete("/lab.json").status_code == 405


def test_a_crash_in_one_experiment_does_not_end_the_others(client, monkeypatch):
    def crashing(values, stop):
        yield {"kind": "begin"}
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(EXPERIMENTS["losses"], "run", crashing, raising=False)
    events = events_of(client.get("/experiments/losses/events").text)
    assert events[-1]["kind"] == "failed" and "on purpose" in events[-1]["sentence"]
    assert events_of(client.get("/experiments/line/events").text)[-1]["kind"] == "end"


# -- one's own data


def test_a_table_is_dropped_looked_at_tuned_and_tried(client, own, few_epochs, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    content = data.path("concrete").read_bytes()
    told = client.post("/own?name=my%20houses.csv", content=content).json()
    assert told["rows"] == 1030 and told["target"] == "strength_mpa" and told["name"] == "my-houses"
    place = f"/own/{told['token']}"
    looked = client.get(f"{place}/look", params={"target": "strength_mpa"}).json()
    assert {"name": "cement", "role": "number"}.items() <= looked["columns"][0].items()
    assert client.post(f"{place}/tune", json={"target": "strength_mpa", "budget": "5s"}).json()["state"] == "searching"
    again = client.post(f"{place}/tune", json={"target": "strength_mpa", "budget": "5s"})
    assert again.status_code == 400 and "at work already" in again.json()["sentence"]
    events = events_of(client.get(f"{place}/events").text)
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "searching" and {"started", "baseline", "progress"} <= {*kinds} and kinds[-1] == "ended"
    assert events[-1]["validation"] > 0 and events[-1]["verdicts"]
    assert not any(other in text for text in events[-1]["verdicts"] for other in ("in mae", "r2"))
    assert events[-1]["score"] > 0 and events[-1]["words"]
    (table,) = (tmp_path / "trimtab-runs" / "tables").rglob("*.csv")
    assert table.name == "my-houses.csv" and table.read_bytes() == content
    asked = StudyFolder(tmp_path / events[-1]["out"]).read("study.json")["asked"]
    assert Path(asked["data"]).samefile(table), "the study can be gone on with when the lab has ended"
    assert events_of(client.get(f"{place}/events").text)[-1] == events[-1], "a second tab sees the same"
    refused = client.post(f"{place}/resume", json={"budget": "a while"})
    assert refused.status_code == 400 and "not a duration" in refused.json()["sentence"]
    assert client.post(f"{place}/resume", json={"budget": "5s"}).json()["state"] == "searching"
    later = events_of(client.get(f"{place}/events").text)
    assert later[-1]["kind"] == "ended" and later[-1]["trials"] > events[-1]["trials"]
    inputs = client.get(f"{place}/inputs").json()
    assert inputs[0]["name"] == "cement" and inputs[0]["low"] < inputs[0]["usual"] < inputs[0]["high"]
    row = {each["name"]: each["usual"] for each in inputs}
    told = client.post(f"{place}/predict", json=row).json()
    first, (low, high) = told["prediction"]["prediction"], re.findall(r"-?[\d.]+", told["bounds"])
    assert told["bounds"].startswith("Bounds like these hold the truth in nine of ten rows: between ")
    assert float(low) < first < float(high)
    other = client.post(f"{place}/predict", json=row | {"cement": inputs[0]["high"]}).json()["prediction"]["prediction"]
    assert first > 0 and first != other
    assert "prediction" in client.get(f"{place}/predictions.csv").text.splitlines()[0]
    rows = polars.read_csv(content).head(3).with_columns(prediction=polars.Series(["a", "b", "c"]))
    answer = client.post(f"{place}/predictions?name=new.csv", content=rows.write_csv().encode()).json()
    back = polars.read_csv(answer["csv"].encode())
    assert answer["rows"] == 3 and back.drop("prediction_of_model").equals(rows)
    assert back["prediction_of_model"].dtype == polars.Float64 and back["prediction_of_model"].n_unique() > 1
    refused = client.post(f"{place}/predictions?name=new.csv", content=b"a,b\n1,2\n")
    assert refused.status_code == 400 and "cement" in refused.json()["sentence"]
    assert [path.name for path in Path(own._place.name).rglob("*.csv")] == ["my-houses.csv"], "it is not kept"
    with zipfile.ZipFile(BytesIO(client.get(f"{place}/model.zip").content)) as files:
        assert "model/model.json" in files.namelist()
    report = client.get(f"{place}/report")
    assert "How well a network predicts" in report.text and report.headers["content-security-policy"].startswith(
        "sandbox"
    )


def test_columns_that_text_cannot_hold_are_left_out_and_no_two_columns_are_called_alike():
    told = polars.DataFrame({"prediction": [1.0], "probability_a": [0.5], "probability_a_of_model": [0.2]})
    model = SimpleNamespace(predict_frame=lambda frame: (told, ()))
    frame = polars.DataFrame({
        "a": [1], "probability_a": ["mine"], "took": [timedelta(1)], "all": [[1, 2]], "raw": [b"x"],
    })  # fmt: skip
    content, _ = beside_columns(model, frame)
    back = polars.read_csv(content.encode())
    assert back.columns == [
        "a",
        "probability_a",
        "prediction",
        "probability_a_of_model_of_model",
        "probability_a_of_model",
    ]
    assert back.row(0) == (1, "mine", 1.0, 0.5, 0.2)


def test_a_table_is_kept_as_it_was_dropped_or_it_is_said_that_it_cannot_be(tmp_path, monkeypatch):
    (dropped := tmp_path / "t.csv").write_text("a,b\n1,2\n")
    monkeypatch.chdir(tmp_path)
    place = kept(dropped)
    assert place.read_text() == "a,b\n1,2\n" and kept(dropped) == place
    place.write_text("a,b\n9,9\n")
    assert kept(dropped).read_text() == "a,b\n1,2\n"
    monkeypatch.setattr("trimtab.lab.own_study.Path.exists", raising_permission_error)
    with pytest.raises(StudyError, match=r"t.csv cannot be written \(Permission denied\): start the lab in another"):
        kept(dropped)


def raising_permission_error(path):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(("of", "said"), [("ab", "0 or 1"), ("b", "1")])
def test_a_set_of_classes_is_said_to_hold_the_true_one(of, said):
    """Not that the class is this one, which nobody knows."""
    known = SimpleNamespace(sets=lambda raw, share: numpy.array([[name in of for name in "ab"]]))
    model = SimpleNamespace(
        task="classification", target=SimpleNamespace(labels=["0", "1"]), calibrated=lambda share: known,
        raw=lambda frame: (None, None),
    )  # fmt: skip
    told = bounds_in_words(model, None)
    assert without_command("It was not measured; trimtab explain a/b --budget 1m makes it.") == "It was not measured."
    assert told == f"Sets of classes like this one hold the true class in nine of ten rows: {said}"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.exe", b"MZ", "is no table"),
        ("", b"x\n1", "is no table"),
        ("../../etc/passwd", b"x", "is no table"),
        ("a.csv", b"", "a.csv"),
        ("a.csv", b"\x00\x01\x02" * 100, "a"),
        ("a.parquet", b"PAR1 no", "a"),
        ("a.xlsx", b"PK no", "a"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(client, name, content, said):
    answer = client.post("/own", params={"name": name}, content=content)
    assert answer.status_code == 400 and said in answer.json()["sentence"] and "Traceback" not in answer.text


def test_a_table_becomes_points_and_is_not_kept(client, own):
    rows = "\n".join(f"{i},{i * i},{'ab'[i % 2]}" for i in range(20))
    answer = client.post("/points?name=a.csv", content=f"u,v,class\n{rows}").json()
    assert len(answer["points"]) == 20 and [-1.0, -1.0, 0] in answer["points"] and [1.0, 1.0, 1] in answer["points"]
    assert answer["said"].startswith('20 rows: across "u", up "v"')
    assert not list(Path(own._place.name).rglob("*.csv"))
    answer = client.post("/points?name=a.csv", content=b"u,v\n1,2\n3,4\n5,6")
    assert answer.status_code == 400 and "two values" in answer.json()["sentence"]


@pytest.mark.parametrize("address", ["/own", "/points", "/own/{token}/predictions"])
def test_a_table_that_is_too_large_is_refused(client, monkeypatch, address):
    token = client.post("/own?name=a.csv", content=b"a,b\n3,4\n5,6\n").json()["token"]
    monkeypatch.setattr("trimtab.lab.own_data.MOST_BYTES", 1_000)
    answer = client.post(f"{address.format(token=token)}?name=a.csv", content=b"x\n" * 2_000)
    assert answer.status_code == 413 and "larger" in answer.json()["sentence"]


def test_no_file_of_this_machine_is_opened_by_its_name(client, own, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("x,y\n1,2\n")
    for name in (str(secret), f"..{secret}", f"%2e%2e{secret}"):
        told = client.post("/own", params={"name": name}, content=b"a,b\n3,4\n5,6\n").json()
        assert told["columns"] == ["a", "b"]
    assert secret.read_text() == "x,y\n1,2\n"


def test_what_is_asked_of_a_table_without_a_model_is_said(client):
    token = client.post("/own?name=a.csv", content=b"a,b\n3,4\n5,6\n").json()["token"]
    assert client.post(f"/own/{token}/predictions?name=b.csv", content=b"a\n1\n").status_code == 400
    for path in ("report", "inputs", "predictions.csv", "model.zip"):
        answer = client.get(f"/own/{token}/{path}")
        assert answer.status_code == 400 and "tune first" in answer.json()["sentence"]
    assert client.get(f"/own/{token}/look?target=c").status_code == 400
    assert client.post(f"/own/{token}/tune", content=b"[1]").status_code == 400
    assert client.post(f"/own/{token}/tune", content=b"{" * 300_000).status_code == 413


# -- a study of the command line


@pytest.fixture(scope="module")
def study(tmp_path_factory, few_epochs):
    folder = tmp_path_factory.mktemp("lab") / "study"
    return tt.tune(data.path("concrete"), target="strength_mpa", trials=2, out=folder)


def test_a_study_is_opened_and_watched_while_another_process_searches(study):
    opened = OwnStudy("study", out=study.out)
    assert opened.state == "ended" and opened.target == "strength_mpa"
    events = list(opened.events(lambda: False))
    assert events[0]["kind"] == "started" and events[-1]["kind"] == "ended"
    best = [event["best"] for event in events if event["kind"] == "trial"]
    assert best == sorted(best, reverse=True) and len(best) == len(study.trials)
    code = f"""
import time
from pathlib import Path
from trimtab.tuning.folder import locked
with locked(Path({str(study.out)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert opened.state == "elsewhere"
        with pytest.raises(StudyError, match="at work"):
            opened.begin(target="strength_mpa", budget="5s", seconds_on_top=True)
        seen = next(opened.events(lambda: False))
        assert seen == {"kind": "started", "out": str(study.out), "elsewhere": True}
        other.kill()
    assert opened.state == "ended"


def test_a_folder_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(StudyError):
        serve(str(tmp_path), port=0, opens_browser=False)


# -- anything


def test_nothing_that_is_asked_breaks_it(client):
    rng = random.Random(0)
    words = [
        "",
        "own",
        "experiments",
        "line",
        "events",
        "code",
        "weights",
        "web",
        "lab.js",
        "..",
        "%00",
        "x" * 300,
        "é",
        "predict",
    ]
    values = ["", "{}", '{"rate": 1e999}', "[[]]", '{"points": [[0,0],[1e3,-1e3]]}', "\x00", "{" * 50]
    for _ in range(1_000):
        path = "/" + "/".join(rng.choice(words) for _ in range(rng.randint(0, 4)))
        method = rng.choice(["GET", "GET", "POST", "PUT", "HEAD", "OPTIONS"])
        content = rng.choice([b"", b"{}", b"\xff\xfe", b"[" * 2_000])
        if path == "/experiments/line/events":
            continue
        answer = client.request(method, path, params={"values": rng.choice(values)}, content=content)
        assert answer.status_code < 500, (method, path)


# -- the real server


@pytest.fixture
def served():
    with subprocess.Popen(
        [sys.executable, "-m", "trimtab", "lab", "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:") and "?token=" in address
        yield process, address
        process.kill()


def test_two_hundred_pages_are_served_at_once(own, monkeypatch):
    """What they watch is short: that each hears all of it is what counts here."""
    monkeypatch.setattr("trimtab.lab.app._warm_up", lambda: None)
    monkeypatch.setattr(
        EXPERIMENTS["line"], "run", lambda values, stop: ({"kind": n} for n in range(20)), raising=False
    )
    with serving(own, token=TOKEN) as (address, app):
        base, cookie = address.partition("/?")[0], f"trimtab_lab_{urlsplit(address).port}={TOKEN}"
        heard = []

        def watch():
            request = urllib.request.Request(f"{base}/experiments/line/events", headers={"cookie": cookie})
            with urllib.request.urlopen(request, timeout=60) as stream:
                heard.append(len(events_of(stream.read().decode())))

        threads = [threading.Thread(target=watch) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert heard == [20] * 200
    assert app.state.streams.training == 0


@pytest.mark.slow
def test_it_ends_on_ctrl_c_with_all_that_trains(served):
    process, address = served
    base, _, token = address.partition("/?token=")
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    assert opener.open(address).status == 200
    stream = opener.open(f"{base}/experiments/duration/events")
    assert stream.readline().startswith(b"data: ")
    told = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0 and token
    # Two seconds where it is alone; the machine may have more to do than this.
    assert time.monotonic() - told < 8
    assert "Traceback" not in process.stderr.read()


def test_a_port_that_is_taken_is_said():

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OptionError, match="cannot be taken"):
            serve(None, port=taken.getsockname()[1], opens_browser=False)
