"""A broker under test: an `ottla start` process that is killed and started again at will."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import compatibility

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("OTTLA_BIN", ROOT / "target/release/ottla"))
READY_SECONDS_MAX = 30


def free_port():
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port):
    """Waits until somebody listens there."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        assert time.monotonic() < deadline, f"nobody listens on port {port}"
        time.sleep(0.005)


class Broker:
    """One data directory and the process that serves it."""

    def __init__(self, directory, settings=None, environment=None):
        self.directory = pathlib.Path(directory)
        self.port = free_port()
        self.http_port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.environment = {**os.environ, **(environment or {})}
        self.log_path = self.directory / "broker.log"
        self.process = None
        self.directory.mkdir(parents=True, exist_ok=True)
        self.settings = {
            "log.dirs": self.directory / "data",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "ottla.http.port": self.http_port,
            "ottla.metrics.level": "client",
            **(settings or {}),
        }

    def start(self):
        """Starts the process on its settings and waits until it accepts connections."""
        config = self.directory / "server.properties"
        config.write_text("".join(f"{k}={v}\n" for k, v in self.settings.items()))
        return self.start_with(["start", "-c", config])

    def start_with(self, arguments):
        """Starts the process with a command line and waits until it accepts connections."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, *arguments], stdout=log, stderr=log, env=self.environment
            )
        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            assert self.process.poll() is None, f"the broker ended:\n{self.log_tail()}"
            assert time.monotonic() < deadline, f"the broker does not listen:\n{self.log_tail()}"
            time.sleep(0.005)

    def kill(self):
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM; returns the exit code."""
        compatibility.collect(self.metrics())
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def metrics(self, names="native"):
        """What /metrics says, for a test's last words; empty when nobody answers."""
        url = f"http://127.0.0.1:{self.http_port}/metrics?names={names}"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
        return ""

    def log_tail(self, lines=30):
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def running(settings=None, environment=None, directory=None):
    """A started broker on a directory of its own (or `directory`); killed at the end."""
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="ottla-interop-"))
        broker = Broker(directory, settings, environment)
        try:
            yield broker.start()
        finally:
            if broker.process is not None and broker.process.poll() is None:
                compatibility.collect(broker.metrics())
                broker.kill()
