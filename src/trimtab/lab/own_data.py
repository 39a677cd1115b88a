"""One's own data in the lab: tables that were dropped on its page, the study it was opened with, their addresses.

Knows requests and what they ask of a study; it knows no training. No path from a browser is ever opened: what it
sends is kept under a name of our own, and known by a token.
"""

import json
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from trimtab.errors import DataError, OptionError
from trimtab.lab.own_points import points_of
from trimtab.lab.own_study import OwnStudy
from trimtab.lab.refused import RefusedError
from trimtab.table.read import read_table
from trimtab.tuning.folder import StudyFolder

if TYPE_CHECKING:
    from trimtab.lab.streams import Streams

_T = TypeVar("_T")
MOST_BYTES = 50_000_000
# What a page asks besides tables is short.
MOST_BYTES_ASKED = 200_000
SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")
# Tables and studies that are kept in one lab; those that came first are forgotten.
MOST_TABLES = 20


class OwnData:
    """Tables and studies by their tokens."""

    def __init__(self, run: Path | None = None) -> None:
        self._place = TemporaryDirectory(prefix="trimtab-lab-")
        self._known: dict[str, OwnStudy] = {}
        if run is not None:
            StudyFolder.open(run)
            self.add(OwnStudy(run.resolve().name, out=run))

    def add(self, study: OwnStudy) -> str:
        token = secrets.token_urlsafe(8)
        self._known[token] = study
        while len(self._known) > MOST_TABLES:
            oldest = next((name for name, each in self._known.items() if each.state != "searching"), None)
            if oldest is None or oldest == token:
                break
            del self._known[oldest]
        return token

    def new_file(self, name: str) -> Path:
        """Where a table is kept that somebody calls `name`; raises DataError for a kind that cannot be read."""
        plain = PurePosixPath(name.replace("\\", "/")).name
        suffix = PurePosixPath(plain).suffix.lower()
        if suffix not in SUFFIXES:
            raise DataError(f'"{plain[:60]}" is no table: drop a file that ends in {", ".join(SUFFIXES)}.')
        stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in PurePosixPath(plain).stem)[:40] or "table"
        folder = Path(self._place.name) / secrets.token_hex(6)
        folder.mkdir()
        return folder / f"{stem}{suffix}"

    def study(self, token: str) -> OwnStudy:
        if token not in self._known:
            raise RefusedError("This table or study is no longer here: drop it again.", status=404)
        return self._known[token]

    def described(self) -> list[dict[str, str]]:
        return [
            {"token": token, "name": each.name, "state": each.state, "target": each.target}
            for token, each in self._known.items()
        ]

    def close(self) -> None:
        """End all searches, and delete the tables."""
        for each in self._known.values():
            each.close()
        self._place.cleanup()


def own_routes(own: OwnData, streams: "Streams") -> list[Route]:
    """The addresses of one's own data."""

    def of_study(answer: Callable[[OwnStudy, Any], Response], *, asks: bool = False) -> Callable:
        async def answered(request: Request) -> Response:
            study = own.study(request.path_params["token"])
            asked = await _asked(request) if asks else dict(request.query_params)
            return await to_thread.run_sync(partial(answer, study, asked))

        return answered

    async def of_table(request: Request, answer: Callable[[Path], _T]) -> _T:
        """What is answered of a table that was sent, which is not kept."""
        path = await _received(own, request)
        try:
            return await to_thread.run_sync(answer, path)
        finally:
            path.unlink()

    async def points(request: Request) -> Response:
        found = await of_table(request, lambda path: points_of(read_table(path).frame))
        return JSONResponse({"points": found.points, "said": found.said, "columns": found.columns})

    async def dropped(request: Request) -> Response:
        path = await _received(own, request)
        study = OwnStudy(path.stem, path=path)
        columns = await to_thread.run_sync(study.columns)
        return JSONResponse({"token": own.add(study), "name": study.name, **columns})

    async def predicted_for(request: Request) -> Response:
        study = own.study(request.path_params["token"])
        return JSONResponse(await of_table(request, study.predictions_of))

    async def events(request: Request) -> Response:
        study = own.study(request.path_params["token"])
        return StreamingResponse(streams.events(study.events, waits=False), media_type="text/event-stream")

    return [
        Route("/own", dropped, methods=["POST"]),
        Route("/points", points, methods=["POST"]),
        Route("/own/{token}/columns", of_study(lambda study, _: JSONResponse(study.columns()))),
        Route("/own/{token}/look", of_study(_looked)),
        Route("/own/{token}/tune", of_study(_tuned, asks=True), methods=["POST"]),
        Route("/own/{token}/resume", of_study(_resumed, asks=True), methods=["POST"]),
        Route("/own/{token}/stop", of_study(_stopped, asks=True), methods=["POST"]),
        Route("/own/{token}/events", events),
        Route("/own/{token}/report", of_study(_report)),
        Route("/own/{token}/inputs", of_study(lambda study, _: JSONResponse(study.inputs()))),
        Route("/own/{token}/predict", of_study(_predicted, asks=True), methods=["POST"]),
        Route("/own/{token}/predictions", predicted_for, methods=["POST"]),
        Route("/own/{token}/predictions.csv", of_study(_predictions)),
        Route("/own/{token}/model.zip", of_study(_model)),
    ]  # fmt: skip


async def _received(own: OwnData, request: Request) -> Path:
    """The table that was sent, under a name of our own."""
    path = own.new_file(request.query_params.get("name", ""))
    with path.open("wb") as file:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > MOST_BYTES:
                file.close()
                path.unlink()
                most = MOST_BYTES // 1_000_000
                raise RefusedError(f"The table is larger than {most} MB: use `trimtab fit` on it.", status=413)
            file.write(piece)
    return path


async def _asked(request: Request) -> dict[str, Any]:
    """The JSON object that was sent."""
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES_ASKED:
                raise RefusedError("That is more than can be asked at once.", status=413)
    except ClientDisconnect:
        raise OptionError("The page has gone.") from None
    try:
        asked = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise OptionError("That is no JSON object.") from None
    if not isinstance(asked, dict):
        raise OptionError("That is no JSON object.")
    return asked


def _looked(study: OwnStudy, asked: dict[str, Any]) -> Response:
    return JSONResponse(study.looked_at(asked.get("target", "")))


def _predicted(study: OwnStudy, row: dict[str, Any]) -> Response:
    return JSONResponse(study.predicted(row))


def _tuned(study: OwnStudy, asked: dict[str, Any]) -> Response:
    study.begin(target=str(asked.get("target", "")), budget=str(asked.get("budget", "60s")))
    return JSONResponse({"state": study.state})


def _resumed(study: OwnStudy, asked: dict[str, Any]) -> Response:
    study.begin(target=study.target, budget=str(asked.get("budget", "60s")), seconds_on_top=True)
    return JSONResponse({"state": study.state})


def _stopped(study: OwnStudy, asked: dict[str, Any]) -> Response:
    study.stop.set()
    return JSONResponse({"state": study.state})


def _report(study: OwnStudy, asked: dict[str, Any]) -> Response:
    # The page has a policy of its own, which lets through its own script alone; it may not speak to the lab.
    return HTMLResponse(study.page(), headers={"content-security-policy": "sandbox allow-scripts allow-downloads"})


def _predictions(study: OwnStudy, asked: dict[str, Any]) -> Response:
    name = f'attachment; filename="{study.name}-predictions.csv"'
    return PlainTextResponse(study.predictions(), media_type="text/csv", headers={"content-disposition": name})


def _model(study: OwnStudy, asked: dict[str, Any]) -> Response:
    name = f'attachment; filename="{study.name}-model.zip"'
    return Response(study.model_files(), media_type="application/zip", headers={"content-disposition": name})
