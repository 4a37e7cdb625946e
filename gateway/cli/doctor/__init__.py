"""`forebay doctor`: what is wrong with this box and this set-up, and what to do about each thing.

One file per area. In each a `gather` looks, and a pure `findings` judges what it saw; `command` puts them together.
"""

from gateway.cli.doctor.command import doctor

__all__ = ["doctor"]
