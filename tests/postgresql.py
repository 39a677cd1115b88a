"""A PostgreSQL server for tests: in a folder of its own, on a loopback port, for as long as the tests that use it.

`initdb` refuses to work for root; root's tests start it as the user that comes with Debian's package.
"""

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

PASSWORD = "swordfish-7"


@dataclass(frozen=True)
class Server:
    """Where the server listens; it is started, and may be stopped and started again."""

    port: int
    start: Callable[[], None]
    stop: Callable[[], None]

    def url(self, database: str = "postgres", *, password: str | None = PASSWORD) -> str:
        secret = "" if password is None else f":{password}"
        return f"postgresql+psycopg://trimtab{secret}@127.0.0.1:{self.port}/{database}"

    def database(self, name: str) -> str:
        """The URL of a new and empty database."""
        import psycopg

        with psycopg.connect(self.url().replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)


@contextmanager
def running_server() -> Iterator[Server]:
    """Start one, or skip the test with what is missing."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install trimtab[postgresql]")
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    user = _user()
    with tempfile.TemporaryDirectory(prefix="trimtab-postgresql-") as folder:
        place = Path(folder)
        (place / "password").write_text(PASSWORD)
        for path in (place, place / "password"):
            if user is not None:
                os.chown(path, user.pw_uid, user.pw_gid)
        data = str(place / "data")
        access = ["--auth=scram-sha-256", f"--pwfile={place / 'password'}", "--username=trimtab"]
        _run([initdb, "-D", data, "--no-sync", "--encoding=UTF8", "--locale=C", *access], user, place)
        port = _free_port()
        options = f"-p {port} -h 127.0.0.1 -k {place} -c fsync=off"
        start = partial(_run, [pg_ctl, "-D", data, "-w", "-l", str(place / "log"), "-o", options, "start"], user, place)
        stop = partial(_run, [pg_ctl, "-D", data, "-w", "-m", "immediate", "stop"], user, place)
        start()
        try:
            yield Server(port, start, stop)
        finally:
            stop()


def _program(name: str) -> str:
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None
    )
    if found is None:
        pytest.skip(f"PostgreSQL is not installed: there is no {name}")
    return found


def _user() -> pwd.struct_passwd | None:
    """Whom to start it as; None: as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip(f"PostgreSQL does not run as {getpass.getuser()}, and there is no user postgres")


def _run(command: list[str], user: pwd.struct_passwd | None, place: Path) -> None:
    as_user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    with (place / "output").open("wb") as output:  # a pipe would be kept open by the server
        ended = subprocess.run(command, cwd=place, stdout=output, stderr=output, timeout=60, check=False, **as_user)
    assert ended.returncode == 0, (place / "output").read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
