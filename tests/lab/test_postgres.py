from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from agentscope.lab import postgres
from agentscope.lab.postgres import DSN_VARIABLE, EmbeddedPostgres, PostgresStartError, database

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="agentscope-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def ask(dsn: str, query: str) -> object:
    async def fetch() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def family(pid: int) -> list[psutil.Process]:
    server = psutil.Process(pid)
    return [server, *server.children(recursive=True)]


def wait_until_gone(processes: list[psutil.Process], timeout_s: float = 10.0) -> None:
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    assert alive == []


def test_a_real_server_lives_in_the_block_and_leaves_nothing(folder: Path) -> None:
    """Inside the block it answers; after it no process and no file is left."""
    with EmbeddedPostgres(folder) as server:
        assert server.pid is not None
        processes = family(server.pid)
        assert ask(server.dsn, "SELECT 1 + 1") == 2
        assert len(processes) > 1
        assert [path.name[:20] for path in folder.iterdir()] == ["agentscope-postgres-"]
    assert [process for process in processes if process.is_running()] == []
    assert list(folder.iterdir()) == []


def test_stopping_twice_is_stopping_once(folder: Path) -> None:
    """The second stop does nothing, and a stopped server has no DSN."""
    server = EmbeddedPostgres(folder)
    assert server.start() == server.start() == server.dsn
    server.stop()
    server.stop()
    assert server.pid is None
    with pytest.raises(RuntimeError, match="call start"):
        _ = server.dsn


def test_a_stopped_server_can_start_again(folder: Path) -> None:
    """Start after stop gives a new, empty database."""
    server = EmbeddedPostgres(folder)
    ask(server.start(), "CREATE TABLE t ()")
    server.stop()
    with server:
        assert ask(server.dsn, "SELECT count(*) FROM pg_tables WHERE tablename = 't'") == 0


def test_settings_reach_the_server(folder: Path) -> None:
    """What the caller sets wins over our defaults."""
    with EmbeddedPostgres(folder, settings={"max_connections": 7, "fsync": "on"}) as server:
        assert ask(server.dsn, "SHOW max_connections") == "7"
        assert ask(server.dsn, "SHOW fsync") == "on"
        assert ask(server.dsn, "SHOW shared_buffers") == "32MB"


def test_it_listens_on_no_network(folder: Path) -> None:
    """A unix socket in a folder of its own is the only way in."""
    with EmbeddedPostgres(folder) as server:
        assert server.pid is not None
        connections = psutil.Process(server.pid).net_connections(kind="inet")
        sockets = Path(parse_qs(urlsplit(server.dsn).query)["host"][0])
        assert connections == []
        assert sockets.stat().st_mode & 0o077 == 0


def test_a_long_path_gets_its_socket_elsewhere(folder: Path) -> None:
    """A unix socket's path holds 107 bytes; a deeper folder is no reason to fail."""
    deep = folder / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with EmbeddedPostgres(deep) as server:
        sockets = Path(parse_qs(urlsplit(server.dsn).query)["host"][0])
        assert ask(server.dsn, "SELECT 1") == 1
        assert deep not in sockets.parents
    assert not sockets.exists()


def test_a_failed_start_says_why_in_one_line_and_leaves_nothing(folder: Path) -> None:
    """The server's own FATAL line is the message."""
    server = EmbeddedPostgres(folder, settings={"max_connections": "many"})
    with pytest.raises(PostgresStartError) as raised:
        server.start()
    assert str(raised.value).startswith("PostgreSQL could not start: ")
    assert 'invalid value for parameter "max_connections": "many"' in str(raised.value)
    assert "\n" not in str(raised.value)
    assert server.pid is None
    assert list(folder.iterdir()) == []


def test_a_missing_directory_is_one_line(folder: Path) -> None:
    """A directory that is not there is the caller's mistake, told as such."""
    with pytest.raises(PostgresStartError, match="No such file or directory"):
        EmbeddedPostgres(folder / "absent").start()


def test_a_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the message names the pip line and the variable."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(PostgresStartError, match=r"observability\[lab\].*AGENTSCOPE_EXAMPLE_DSN"):
        EmbeddedPostgres().start()


@as_root
def test_root_may_have_its_environment_where_nobody_may_go(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program under /root is copied for the user who runs it; no permission of ours is widened."""
    closed = postgres._copy_program(postgres._wheel_binaries(), tmp_path)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(postgres, "_wheel_binaries", lambda: closed)
    with EmbeddedPostgres(folder) as server:
        assert ask(server.dsn, "SELECT 1") == 1
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@as_root
def test_root_is_told_when_nobody_may_enter_the_directory(folder: Path) -> None:
    """Root's own folders are closed to the server's user, and the error says what to do."""
    folder.chmod(0o700)
    with pytest.raises(PostgresStartError, match="choose a directory such as /tmp"):
        EmbeddedPostgres(folder).start()
    assert list(folder.iterdir()) == []


def test_a_given_dsn_replaces_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable set nothing is started."""
    monkeypatch.setenv(DSN_VARIABLE, "postgresql://elsewhere/db")
    monkeypatch.setattr(postgres, "EmbeddedPostgres", None)
    with database() as dsn:
        assert dsn == "postgresql://elsewhere/db"


def test_without_a_given_dsn_a_server_is_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the variable the block has a server of its own."""
    monkeypatch.delenv(DSN_VARIABLE, raising=False)
    with database(folder, settings={"max_connections": 9}) as dsn:
        assert ask(dsn, "SHOW max_connections") == "9"
    assert list(folder.iterdir()) == []


@pytest.fixture
def command(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "agentscope.lab.postgres", "--directory", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        if process.poll() is None:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_runs_until_a_signal(
    command: subprocess.Popen[str], folder: Path, number: signal.Signals
) -> None:
    """It prints the DSN, and on a signal leaves no process, no file and no complaint."""
    assert command.stdout is not None
    dsn = command.stdout.readline().strip()
    assert ask(dsn, "SELECT 1") == 1
    servers = family(command.pid)[1:]
    command.send_signal(number)
    _, complaint = command.communicate(timeout=20)
    assert (command.returncode, complaint) == (0, "")
    assert len(servers) > 1
    wait_until_gone(servers)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_killed_owner_leaves_no_server(command: subprocess.Popen[str]) -> None:
    """Even SIGKILL on the owner ends the server; only the folder stays."""
    assert command.stdout is not None
    command.stdout.readline()
    servers = family(command.pid)[1:]
    command.kill()
    assert len(servers) > 1
    wait_until_gone(servers)


def test_the_command_says_when_the_server_ends(command: subprocess.Popen[str]) -> None:
    """A server that dies takes the command with it, exit code 1."""
    assert command.stdout is not None
    command.stdout.readline()
    (server,) = psutil.Process(command.pid).children()
    server.send_signal(signal.SIGINT)
    _, complaint = command.communicate(timeout=20)
    assert (command.returncode, complaint) == (1, "PostgreSQL ended by itself\n")


def test_the_command_fails_in_one_line(folder: Path) -> None:
    """Exit code 2 and the reason, no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "agentscope.lab.postgres", "--directory", str(folder / "absent")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("PostgreSQL could not start: ")
    assert done.stderr.count("\n") == 1


FORKING_OWNER = """
import os, sys
from pathlib import Path
from agentscope.lab.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
child = os.fork()
if child == 0:
    sys.exit(0)                        # runs what atexit holds
os.waitpid(child, 0)
os.kill(server.pid, 0)
print(len(list(Path(sys.argv[1]).iterdir())))
"""


def test_a_forked_child_does_not_stop_its_parents_server(folder: Path) -> None:
    """The child's exit leaves the server alone; the parent's, without a block, stops it."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING_OWNER, str(folder)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
    assert list(folder.iterdir()) == []


def test_it_starts_quickly(folder: Path) -> None:
    """A demo cannot wait: a server is there within seconds."""
    started = time.monotonic()
    with EmbeddedPostgres(folder):
        assert time.monotonic() - started < 10
