"""The lab's addresses: its page, its experiments as streams, their code and weights, and one's own data.

Knows the server's library; what happens in an experiment it does not know.
"""

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from typing import Any

from safetensors.torch import save
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from trimtab.errors import TrimtabError
from trimtab.lab.controls import described, read
from trimtab.lab.experiment import Experiment
from trimtab.lab.experiments import EXPERIMENTS
from trimtab.lab.gate import Gate
from trimtab.lab.own_data import OwnData, own_routes
from trimtab.lab.refused import RefusedError
from trimtab.lab.streams import Streams
from trimtab.machine import be_a_thread_of_lanes

WEB = files("trimtab.lab") / "web"
# The values of all controls in an address: points placed by hand take some 12 characters each.
MOST_CHARACTERS = 20_000


def application(*, token: str, port: Callable[[], int], own: OwnData) -> Starlette:
    """The lab, open to who has `token`, at `port` of this machine."""
    streams = Streams()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=_warm_up, name="trimtab-warm-up", daemon=True).start()
        try:
            yield
        finally:
            streams.close()

    app = Starlette(
        routes=[
            Route("/", _page),
            Route("/lab.json", partial(_described, own)),
            Route("/experiments/{name}/events", partial(_events, streams)),
            Route("/experiments/{name}/code", _code),
            Route("/weights/{token}", partial(_weights, streams)),
            *own_routes(own, streams),
            Mount("/web", StaticFiles(directory=str(WEB))),
        ],
        middleware=[Middleware(Gate, token=token, port=port)],
        exception_handlers={TrimtabError: _sentence, 404: _nothing, 405: _nothing},
        lifespan=lifespan,
    )
    app.state.streams = streams
    return app


def _warm_up() -> None:
    """Train something short: what torch does once at its first step is not to be waited for by who moves a slider."""
    be_a_thread_of_lanes()
    first = next(iter(EXPERIMENTS.values()))
    deque(first.run(read(first.controls, "{}"), lambda: False), maxlen=0)


async def _page(request: Request) -> Response:
    return HTMLResponse((WEB / "index.html").read_text(encoding="utf-8"))


async def _described(own: OwnData, request: Request) -> Response:
    chapters = [
        {
            "name": each.name, "title": each.title, "question": each.question, "guess": each.guess,
            "choices": [{"name": choice.name, "label": choice.label} for choice in each.choices], "next": each.next,
            "words": list(each.words), "controls": [described(control) for control in each.controls],
        }
        for each in EXPERIMENTS.values()
    ]  # fmt: skip
    return JSONResponse({"chapters": chapters, "studies": own.described()})


async def _events(streams: Streams, request: Request) -> Response:
    experiment, values = _asked(request)
    return StreamingResponse(
        streams.events(partial(experiment.run, values)), media_type="text/event-stream",
        headers={"x-accel-buffering": "no"},
    )  # fmt: skip


async def _code(request: Request) -> Response:
    experiment, values = _asked(request)
    return PlainTextResponse(experiment.code(values))


async def _weights(streams: Streams, request: Request) -> Response:
    weights = streams.weights(request.path_params["token"])
    if weights is None:
        return _said("These weights are no longer here: run the experiment again.", 404)
    name = 'attachment; filename="weights.safetensors"'
    return Response(
        save({name: value.clone() for name, value in weights.items()}), media_type="application/octet-stream",
        headers={"content-disposition": name},
    )  # fmt: skip


def _asked(request: Request) -> tuple[Experiment, dict[str, Any]]:
    name, text = request.path_params["name"], request.query_params.get("values", "")
    if name not in EXPERIMENTS:
        raise RefusedError(f'There is no experiment "{name[:40]}".', status=404)
    if len(text) > MOST_CHARACTERS:
        raise RefusedError("The values are too long: place fewer points.")
    experiment = EXPERIMENTS[name]
    return experiment, read(experiment.controls, text)


async def _sentence(request: Request, error: Exception) -> Response:
    return _said(str(error), getattr(error, "status", 400))


async def _nothing(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return _said("There is nothing at this address." if status == 404 else "That cannot be done here.", status)


def _said(sentence: str, status: int) -> Response:
    return JSONResponse({"sentence": sentence}, status_code=status)
