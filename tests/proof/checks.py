"""One line for each check; tests/proof/run counts them."""

import asyncio
import inspect
import sys
import traceback


def check(what):
    """Runs the decorated function, and says what became of it."""

    def run(function):
        try:
            outcome = function()
            if inspect.isawaitable(outcome):
                asyncio.run(outcome)
            print(f"ok      {what}", flush=True)
        except Exception:  # a failed check does not end the others
            print(f"failed  {what}", flush=True)
            traceback.print_exc(file=sys.stdout)

    return run
