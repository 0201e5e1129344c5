"""A reader that goes away is no error of ours."""

import subprocess
import sys

PROGRAM = """
import sys
from sweep.core.errors import guarded
def chatter():
    for number in range(100_000):
        print(number)
sys.exit(guarded(chatter))
"""


def test_a_closed_pipe_ends_quietly():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
