# Sourced by run, test, check and lock: finds a Python and has it make what is missing.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The Python that made .venv comes first, so that a newer one appearing on the machine does not rebuild everything.
find_python() {
  local made_with='' candidate version seen=''
  if [ -f "$root/.venv/pyvenv.cfg" ]; then
    made_with=$(sed -n 's/^executable = //p' "$root/.venv/pyvenv.cfg")
  fi
  if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
  else
    set -- "$made_with" python3.13 python3.12 python3.11 python3
  fi
  for candidate in "$@"; do
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      if ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
        seen="$seen $candidate ($version, without venv: on Debian and Ubuntu sudo apt-get install python$version-venv)"
        continue
      fi
      printf '%s\n' "$candidate"
      return 0
    fi
    seen="$seen $candidate ($version, too old)"
  done
  {
    printf 'forebay: Python 3.11 or newer with venv is needed; found:%s\n' "${seen:- none}"
    printf '  What to do: install one (Debian, Ubuntu: sudo apt-get install python3 python3-venv) or name it: PYTHON=/path/to/python3.12 %s\n' "$0"
  } >&2
  return 1
}

tooling() {
  local python
  python=$(find_python) || exit 1
  (cd "$root" && exec env -u PYTHONSAFEPATH -u PYTHONPATH -u PYTHONHOME "$python" -m scripts.tooling "$@")
}
