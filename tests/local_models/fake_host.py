"""The real engine host, with the fake engine in the place of the real one."""

import sys

from local_models.host import main
from tests.local_models.bench import FakeLauncher

if __name__ == "__main__":
    sys.exit(main(launchers={"llama_cpp": FakeLauncher()}))
