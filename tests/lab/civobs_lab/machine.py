"""What the lab needs of the machine it runs on, and how an ordinary user gets it: a user namespace.

Root makes the lab's namespaces directly. Anybody else starts the same program again in a user namespace, where they
are root over what they make and over nothing else; Debian allows that. Where a machine refuses, one line says what.

Imports the standard library only, because ``scripts/_setup.sh`` runs this file before anything is installed.
"""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PROGRAMS = {
    "mosquitto": "mosquitto",
    "nft": "nftables",
    "iptables": "iptables",
    "tc": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""Program, and Debian's package that has it."""
PROGRAM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
"""Debian keeps half of them where a user's PATH does not look."""

_DIRECTLY = ("unshare", "--net", "--mount")
_AS_ROOT_OF_ONE = ("unshare", "--user", "--map-root-user", "--mount")
"""The network namespace stays the machine's, so that pages can be shown on its loopback."""

_SWITCHES = (
    ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
    # Debian's own patch, gone with Debian 12's kernel but kept by some.
    ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    # Ubuntu 23.10 and later.
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ("user/max_net_namespaces", "0", "user.max_net_namespaces=15000"),
    ("user/max_mnt_namespaces", "0", "user.max_mnt_namespaces=15000"),
)
"""Settings of the kernel that refuse: where, with which value, and what root sets instead."""

_RULES = """
table ip try {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "up" masquerade
  }
}
"""
"""What every home router does."""


class Refusal(NamedTuple):
    """What the machine does not give, and what to do about it: a line each."""

    cause: str
    remedy: str


def require() -> None:
    """Make sure that a lab can be built here; starts this program again, in a user namespace, if that is what it takes.

    To be called first of all, because then nothing that was done before is left. Raises ResourceError.
    """
    _widen_path()
    refused = missing() or namespaces_refused()
    if refused is None and not _may(*_DIRECTLY):
        os.execvp(_AS_ROOT_OF_ONE[0], [*_AS_ROOT_OF_ONE, "--", sys.executable, *sys.orig_argv[1:]])
    refused = refused or translation_refused()
    if refused is not None:
        from civobs_collector.errors import ResourceError

        raise ResourceError(refused.cause, refused.remedy)


def _widen_path() -> None:
    """What ``missing`` finds has to be found when it is run."""
    folders = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += [folder for folder in PROGRAM_PATH.split(os.pathsep) if folder not in folders]
    os.environ["PATH"] = os.pathsep.join(folders)


def missing() -> Refusal | None:
    """The first program that is not installed."""
    for name, package in PROGRAMS.items():
        if shutil.which(name, path=PROGRAM_PATH) is None:
            return Refusal(f"{name} is not installed", f"run scripts/demo, or as root: apt-get install {package}")
    return None


def namespaces_refused(settings: Path = Path("/proc/sys")) -> Refusal | None:
    """Why this user may make network namespaces neither directly nor in a user namespace; None where it may."""
    if _may(*_DIRECTLY):
        return None
    if os.geteuid() == 0:
        return Refusal(
            "the lab makes network namespaces, and this root may not (a container without CAP_SYS_ADMIN?)",
            "give the container that capability, or run it outside",
        )
    said = _said(*_AS_ROOT_OF_ONE, "--net")
    return None if said is None else why_refused(said, settings)


def why_refused(said: str, settings: Path) -> Refusal:
    """The kernel's switch that forbids an ordinary user's namespaces, or else what the attempt ``said``."""
    for where, refusing, allowing in _SWITCHES:
        file = settings / where
        if file.exists() and file.read_text().strip() == refusing:
            name = where.replace("/", ".")
            return Refusal(
                f"the lab makes network namespaces, and {name} = {refusing} refuses them to ordinary users",
                f"as root: sysctl -w {allowing}; or run it with sudo",
            )
    if os.strerror(errno.ENOSPC) in said:
        return Refusal(
            "the lab makes network namespaces, and this user may have no more of them (user.max_user_namespaces)",
            "end what has the others, or as root: sysctl -w user.max_user_namespaces=15000",
        )
    return Refusal(f"the lab makes network namespaces, which is refused here: {said}", "run it with sudo")


def translation_refused() -> Refusal | None:
    """Why home routers could not translate addresses; None where they can. Asks in a namespace that goes at once."""
    said = _said("unshare", "--net", "nft", "-f", "-", rules=_RULES)
    if said is None:
        return None
    return Refusal(
        f"the kernel cannot translate addresses: {said}", "as root: modprobe -a nf_tables nft_masq nft_chain_nat"
    )


def _may(*words: str) -> bool:
    return _said(*words) is None


def _said(*words: str, rules: str | None = None) -> str | None:
    """None if the command, or ``true`` run by it, works; else the first line of its complaint."""
    env = {**os.environ, "PATH": PROGRAM_PATH, "LC_ALL": "C"}
    command = [*words] if rules is not None else [*words, "true"]
    done = subprocess.run(command, input=rules, capture_output=True, text=True, check=False, env=env)
    if done.returncode == 0:
        return None
    return next(iter(done.stderr.strip().splitlines()), f"{words[0]} ended with {done.returncode}")


if __name__ == "__main__":
    found = namespaces_refused() if shutil.which("unshare", path=PROGRAM_PATH) else None
    if found is not None:
        sys.stderr.write(f"lab: {found.cause}\n     {found.remedy}\n")
        sys.exit(2)
