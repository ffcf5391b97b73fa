"""The very first requests of a client that was there before the broker."""

import contextlib
import socket
import subprocess

import broker as broker_module
import raw


def test_the_controller_is_there_for_the_first_client(tmp_path):
    """Nobody is told NOT_CONTROLLER by a node that is the whole quorum, on a new directory or a used one."""
    for attempt in range(40):
        broker = broker_module.Broker(tmp_path / str(attempt // 2))
        config = broker.directory / "server.properties"
        config.write_text("".join(f"{k}={v}\n" for k, v in broker.settings.items()))
        with open(broker.log_path, "ab") as log:
            broker.process = subprocess.Popen(
                [broker_module.BINARY, "start", "-c", config], stdout=log, stderr=log
            )
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                connection = socket.create_connection(("127.0.0.1", broker.port), timeout=20)
                break
            assert broker.process.poll() is None, broker.log_tail()
        # Written before anybody accepts: the request is the first that the broker reads.
        answer = raw.create_topic(connection, f"first-{attempt}")
        connection.close()
        broker.kill()
        assert answer == (0, ""), f"attempt {attempt}: {answer}"
