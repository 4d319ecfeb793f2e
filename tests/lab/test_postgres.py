"""A database server of one's own belongs to whoever started it, and to nobody else on the machine."""

import stat
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest

from civobs_lab.postgres import Kind, PostgresServer, ServerError
from civobs_lab.run_folder import run_folder

pytestmark = pytest.mark.db


def test_a_server_is_reached_by_its_own_user_only():
    # Not below pytest's own folder: the path of a socket may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="db-") as folder:
        server = PostgresServer(Kind.PLAIN, Path(folder) / "db")
        server.start()
        try:
            (socket,) = (Path(folder) / "db").glob(".s.PGSQL.*[0-9]")
            assert stat.S_IMODE(socket.stat().st_mode) == 0o700
            assert psutil.Process(server.pid).net_connections("inet") == []
            with psycopg.connect(server.dsn()) as conn:
                assert conn.execute("SELECT 1").fetchone() == (1,)
        finally:
            server.kill()


def test_nobody_else_may_look_into_the_folder_of_a_run():
    with run_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_whose_name_is_too_long_for_a_socket_is_told(tmp_path):
    with pytest.raises(ServerError, match="too long for a socket: choose a shorter folder"):
        PostgresServer(Kind.PLAIN, tmp_path / ("x" * 100))
