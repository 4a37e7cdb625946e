"""The real engine host, with the fake engine in the place of the real one, or with nothing to launch."""

import sys

from local_models.host import main
from tests.local_models.bench import FakeLauncher

NONE = "--no-launchers"

if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != NONE]
    sys.exit(main(arguments, launchers={} if NONE in sys.argv else {"llama_cpp": FakeLauncher()}))
