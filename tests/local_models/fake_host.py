"""The real engine host, with fake engines in the place of the real ones, or with nothing to launch."""

import sys

from local_models.fleet import Launchers
from local_models.host import main
from local_models.vllm import Vllm
from tests.local_models.bench import FakeLauncher

NONE = "--no-launchers"

if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != NONE]
    launchers: Launchers = {} if NONE in sys.argv else {"llama_cpp": FakeLauncher(), "vllm": Vllm()}
    sys.exit(main(arguments, launchers=launchers))
