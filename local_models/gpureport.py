"""Says how the GPUs are, a line of JSON each second: `python -m local_models.gpureport [--once]`.

A process of its own, because a driver whose GPU has fallen off the bus may never return from a call, and takes along
the process that is in it. It ends with whoever reads its lines, and by itself where there is nothing to watch.
"""

import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from local_models.gpu import GpuSurvey, with_visibility
from local_models.nvml import Driver, NoDriver, driver

_EVERY_S: Final = 1.0
# A single look has to hear of what the driver has to tell already.
_HEARKEN_S: Final = 0.05


def main(argv: Sequence[str]) -> int:
    """Report until nobody listens."""
    try:
        with driver() as nvml:
            listening = nvml.listen()
            if "--once" in argv:
                _pause(nvml, _HEARKEN_S, listening=listening)
                _say(nvml.survey())
                return 0
            while True:
                _say(nvml.survey())
                _pause(nvml, _EVERY_S, listening=listening)
    except NoDriver as reason:
        _say(GpuSurvey((), str(reason)))
    except BrokenPipeError:
        # Python would complain at its end that it could not write what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _say(survey: GpuSurvey) -> None:
    seen = with_visibility(survey, os.environ.get("CUDA_VISIBLE_DEVICES"))
    sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")
    sys.stdout.buffer.flush()


def _pause(nvml: Driver, seconds: float, *, listening: bool) -> None:
    """Until it is time to look again, listening to the driver where it tells anything; a storm of events ends it."""
    until = time.monotonic() + seconds
    for _ in range(8):
        left = until - time.monotonic()
        if left <= 0:
            return
        if not (listening and nvml.wait(left)):
            break
    threading.Event().wait(max(0.0, until - time.monotonic()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
