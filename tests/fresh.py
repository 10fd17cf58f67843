"""Scripts as of ``python -c``, each in a process forked from one that has imported numpy, scikit-learn and torch.

Nothing of dsae is imported there, and no thread is started: a script finds what it would find in a new interpreter, but
does not wait two seconds for these libraries.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

LIBRARIES = ("numpy", "scipy.sparse", "sklearn.neighbors", "torch")
SECONDS = 900  # after which a script is ended by SIGALRM


@contextlib.contextmanager
def interpreter():
    """``run(code, *arguments)`` gives what ``subprocess.run`` does, with the text of both streams."""
    command = [sys.executable, "-m", "tests.fresh"]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as server:

        def run(code, *arguments):
            with tempfile.TemporaryDirectory() as told:
                given = {"code": code, "arguments": [*map(str, arguments)], "environment": {**os.environ}, "told": told}
                server.stdin.write(json.dumps(given) + "\n")
                server.stdin.flush()
                ended = int(server.stdout.readline())
                texts = [Path(told, name).read_text("utf-8") for name in ("out", "err")]
            return subprocess.CompletedProcess(["-c", *arguments], ended, *texts)

        yield run
        server.stdin.close()


def main():
    for library in LIBRARIES:
        importlib.import_module(library)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(code, arguments, environment, told):
    signal.alarm(SECONDS)
    for file, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{told}/{name}", os.O_CREAT | os.O_WRONLY), file)
    os.environ.clear()
    os.environ.update(environment)
    os.fsync = lambda file: None  # as in all tests
    sys.argv = ["-c", *arguments]
    ended = 0
    try:
        exec(compile(code, "<script>", "exec"), {"__name__": "__main__"})
    except SystemExit as asked:
        ended = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
        if not isinstance(asked.code, int | None):
            print(asked.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        ended = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)


if __name__ == "__main__":
    main()
