"""Who listens on a port of this box."""

import os
import socket
import subprocess
import sys

from local_models.listeners import Listener, listener

LISTEN = "import socket,sys; s=socket.create_server((sys.argv[1], 0)); print(s.getsockname()[1], flush=True); input()"


def test_a_listener_is_named() -> None:
    """Of IPv4: this process, and another with its command line; nobody once it has closed."""
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        found = listener(port)
        assert found is not None
        assert found.pid == os.getpid()
    assert listener(port) is None
    command = (sys.executable, "-c", LISTEN, "127.0.0.1")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert listener(int(process.stdout.readline())) == Listener(process.pid, command)
        process.communicate("\n")


def test_a_socket_that_does_not_listen_is_no_listener() -> None:
    """Neither one that is only bound nor one that is connected."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert listener(bound.getsockname()[1]) is None
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            assert listener(client.getsockname()[1]) is None
