"""Runs a program in Python, as `python launcher.py PATH ARGUMENT...`, and ends the process itself.

Libraries in Rust and C++ keep threads that still run while the interpreter is taken down, and now and then the process aborts
then, after everything was done and compared. That is no finding about the store. So a program that came to its end says so in its
last line, and the process ends without taking the interpreter down. An error in the program ends it with 1 and without that line;
whatever ends the process earlier, an abort as well, leaves no such line either, and shows where every thread was.
"""

from __future__ import annotations

import faulthandler
import os
import runpy
import sys
import traceback
from pathlib import Path

LAST_LINE = "the program came to its end"


def came_to_its_end(path: str) -> bool:
    """Run a program with what else is on the command line; tell whether it ended without an error."""
    sys.argv = [path, *sys.argv[2:]]
    sys.path[0] = str(Path(path).parent)
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as ending:
        return ending.code in (None, 0)
    except BaseException:  # noqa: BLE001 - it is shown, and the process ends with 1
        traceback.print_exc()
        return False
    return True


if __name__ == "__main__":
    faulthandler.enable()
    well = came_to_its_end(sys.argv[1])
    if well:
        print(LAST_LINE)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if well else 1)
