"""``python -m civobs_lab.servers FILE``: serve what the file describes until SIGTERM."""

import asyncio
import signal
import sys
from pathlib import Path

from civobs_lab.servers import READY
from civobs_lab.servers.control import Control
from civobs_lab.servers.description import Description
from civobs_lab.servers.host import ServedHost
from civobs_lab.servers.names import Names


async def _serve(lab: Description) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    names = Names.of(lab)
    hosts = {host.name: ServedHost(host, lab, names) for host in lab.hosts}
    for host in hosts.values():
        await host.open()
    await Control(hosts, names).listen(lab.control)
    print(READY, flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve(Description.model_validate_json(Path(sys.argv[1]).read_bytes())))
