"""Set-up and gate behind `scripts/run`, `scripts/test`, `scripts/check` and `scripts/lock`.

It runs on a bare Python 3.11 or newer, before anything is installed, so it imports the standard library
alone. `environment` makes `.venv` in parts and stamps each when it is whole; `wheel` compiles the CPU engine
once per kind of processor; `model` puts the test model where the tests look; `gate` is `scripts/check`;
`lock` writes the requirement files. `command` runs children into a log, `console` says what happens, `advice`
says what to do.
"""
