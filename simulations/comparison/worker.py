"""A worker process of ``pool``: a task per line of stdin, a word per line of stdout.

It says ``ready`` once it can begin, and after each task ``done``, or ``elsewhere`` if another
process has that run. It ends, at once, when its stdin does: so it never outlives its parent,
however that ended. Whatever a model prints goes to stderr, away from the words.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path

from quickthorn.simulations.comparison.folder import Folder
from quickthorn.simulations.comparison.pool import DONE, ELSEWHERE, READY
from quickthorn.simulations.comparison.work import do_run, load_engine


def main(path: str) -> None:
    """Do tasks on the folder ``path`` until stdin ends."""
    answers = os.dup(1)
    os.dup2(2, 1)
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    load_engine()
    folder = Folder(Path(path))
    os.write(answers, READY)
    while True:
        task = json.loads(tasks.get())
        mine = do_run(folder, task["run"], task["scenario"], retry=task["retry"])
        os.write(answers, DONE if mine else ELSEWHERE)


def _listen(tasks: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        tasks.put(line)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
