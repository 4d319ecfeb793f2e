"""``lab WORDS`` inside a place of a lab that stands: hands the words to it and prints what it answers.

Imports next to nothing, because somebody waits for the answer at a prompt.
"""

import socket
import sys

SOCKET = "control"
"""In the lab's folder; a path, so that it is reached from every place, whatever its network."""
MESSAGE_BYTES = 4096


def main() -> int:
    """Tell the lab whose folder is the working directory."""
    with socket.socket(socket.AF_UNIX) as lab:
        try:
            lab.connect(SOCKET)
            lab.sendall(" ".join(sys.argv[1:] or ["help"]).encode())
            while part := lab.recv(MESSAGE_BYTES):
                sys.stdout.write(part.decode(errors="replace"))
        except OSError as error:
            sys.stderr.write(f"lab: it does not answer: {error.strerror}\n     start one with scripts/lab shell\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
