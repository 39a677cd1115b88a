"""The server: the lab on a port of this machine until somebody presses Ctrl-C."""

import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from trimtab.errors import OptionError
from trimtab.lab.app import application
from trimtab.lab.own_data import OwnData
from trimtab.machine import lanes_in_threads

HOST = "127.0.0.1"
# What a browser may still be reading when the lab is told to end.
SECONDS_TO_LEAVE = 1


def serve(run: str | None, *, port: int, opens_browser: bool, told: Callable[[str], None] = print) -> None:
    """Serve the lab until Ctrl-C, with the study in the folder `run` open where one is named.

    `port` 0 takes any that is free; the address, with its token, is `told` first. Raises OptionError where the port
    is taken, StudyError where there is no study in the folder.
    """
    own = OwnData(None if run is None else Path(run))
    token = secrets.token_urlsafe(24)
    with listening(port) as listener, lanes_in_threads():
        taken = listener.getsockname()[1]
        app = application(token=token, port=lambda: taken, own=own)
        address = f"http://{HOST}:{taken}/?token={token}"
        told(address)
        if opens_browser:
            webbrowser.open(address)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=SECONDS_TO_LEAVE,
            lifespan="on", ws="none",
        )  # fmt: skip
        server = _Server(config)
        server.told_to_end = app.state.streams.tell_to_stop
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            pass  # uvicorn raises the signal again when it has ended
        finally:
            own.close()


@contextmanager
def serving(own: OwnData, *, token: str) -> Iterator[tuple[str, Starlette]]:
    """The lab served by a thread of this process, on any port: its address, with the token, and the application."""
    with listening(0) as listener:
        port = listener.getsockname()[1]
        app = application(token=token, port=lambda: port, own=own)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=SECONDS_TO_LEAVE))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://{HOST}:{port}/?token={token}", app
        finally:
            server.should_exit = True
            thread.join()
            own.close()


class _Server(uvicorn.Server):
    """Ends what trains at once when it is told to end: streams that go on would keep their connections open."""

    told_to_end: Callable[[], None] = staticmethod(lambda: None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.told_to_end()
        super().handle_exit(sig, frame)


def listening(port: int) -> socket.socket:
    """A socket on a port of this machine, 0 for any that is free; raises OptionError where it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # From now on a browser may come: who is early waits.
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise OptionError(f"Port {port} cannot be taken ({error}): choose another with --port, or 0 for any.") from None
    return listener
