"""A fake of `vllm serve`: the fake engine on the port it is told, and below it a core that ignores what can be ignored.

arguments: --version | serve MODEL --host HOST --port PORT --served-model-name NAME …
"""

import signal
import subprocess
import sys
from types import FrameType

import uvicorn

from tests.local_models.fake_engine import FakeEngine, options

# It leaves its parent's session, which a sweep of the session alone would not find.
_CORE = "import os, signal, time; os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


class Server(uvicorn.Server):
    """Ends with code 0 when told to, as vLLM does."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Leave in good order, and without the signal being raised again."""
        super().handle_exit(sig, frame)
        self._captured_signals.clear()


def main(words: list[str]) -> None:
    """Serve."""
    if words == ["--version"]:
        sys.stdout.write("0.32.0\n")
        return
    said = dict(zip(words[2::2], words[3::2], strict=False))
    subprocess.Popen((sys.executable, "-c", _CORE))
    app = FakeEngine(options(["--fd", "0", "--name", said["--served-model-name"]]))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Server(uvicorn.Config(app, host=said["--host"], port=int(said["--port"]), log_level="warning")).run()
