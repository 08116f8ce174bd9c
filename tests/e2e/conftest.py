"""Fixtures that start the real binary and real receivers on 127.0.0.1."""

import os
import pathlib
import secrets

import pytest

from support import Receiver, Sluice

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def binary():
    path = os.path.abspath(os.environ.get("SLUICE_BINARY", ROOT / "build/release/sluice"))
    assert os.access(path, os.X_OK), f"{path} is missing: run scripts/build"
    return path


@pytest.fixture
def start(binary, tmp_path):
    """start(**settings) -> a running server on its own data directory, stopped afterwards."""
    running = []

    def make(**options):
        options.setdefault("data_dir", tmp_path / f"data-{secrets.token_hex(4)}")
        server = Sluice(binary, **options)
        running.append(server)
        server.start()
        return server

    yield make
    for server in running:
        server.close()
        pathlib.Path(server.data_dir, "reserve").unlink(missing_ok=True)  # pytest keeps the rest


@pytest.fixture
def sluice(start):
    return start()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def receivers():
    made = []

    def make(**options):
        made.append(Receiver(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()
