"""Keeps a GPU busy, as another program on it would; run by the Python of vLLM's environment.

usage: python hog.py SECONDS
"""

import sys
import time

import torch  # type: ignore[import-not-found]


def main(seconds: float) -> None:
    """Multiply matrices."""
    matrix = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(8):
            matrix = (matrix @ matrix).clamp(-1, 1)
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(float(sys.argv[1]))
