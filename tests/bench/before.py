"""Another build of Sidegate, beside the first: two commits are comparable within a run only."""

import sidegate


def start(lab, case, folder, port):
    return sidegate.start(lab, case, folder, port, program=lab.before)


def version(lab):
    return f"before: {sidegate.version(lab, lab.before)}"
