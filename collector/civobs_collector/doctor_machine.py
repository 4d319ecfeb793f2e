"""The checks that look at this machine and its settings: secrets, names, certificates, backups, programs."""

import subprocess
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from psycopg import ProgrammingError, conninfo

from civobs_collector.config import CollectorSettings
from civobs_collector.doctor import Result, State
from civobs_collector.errors import CivobsCollectorError
from civobs_collector.limits import LIMITS
from civobs_collector.operate.manifest import complete_until, made_at
from civobs_collector.operate.named_files import SECRETS, named_files
from civobs_collector.operate.pg_programs import find_program
from civobs_collector.surroundings import certificate_end, crl_end, watched_certificates

_OTHERS = 0o077
_PROGRAM_S = 10.0


def check_secrets(settings: CollectorSettings) -> Iterator[Result]:
    """Files with passwords and tokens can be read here and by nobody else, and no password stands in the settings."""
    files = list(dict.fromkeys(named_files(settings.model_dump(), SECRETS)))
    results = [result for path in files if (result := _secret(path)) is not None]
    if _has_password(settings.database.dsn):
        remedy = "give it by passfile= in [database] dsn: settings are copied and shown more easily than secrets"
        results.append(Result("secrets", State.WARNING, "the database's password stands in the settings", remedy))
    yield from results
    if not results:
        yield Result("secrets", State.OK, f"{len(files)} files with secrets are named, each for its owner only")


def _secret(path: Path) -> Result | None:
    """What is wrong with a file that has a secret."""
    try:
        mode = path.stat().st_mode & 0o777
        path.read_bytes()
    except OSError as error:
        text = f"cannot read {path}: {error.strerror}"
        return Result("secrets", State.FAILED, text, "correct the setting, or the file's owner")
    if mode & _OTHERS:
        text = f"{path} has mode {mode:04o}: others can read it"
        return Result("secrets", State.FAILED, text, f"chmod 600 {path}")
    return None


def _has_password(dsn: str) -> bool:
    try:
        return bool(conninfo.conninfo_to_dict(dsn).get("password"))
    except ProgrammingError:
        # The check of the database says so.
        return False


def check_names(settings: CollectorSettings, probes: int) -> Iterator[Result]:
    """Permanent links and what probes are told lead to this observatory from elsewhere."""
    url = urlsplit(settings.api.public_url)
    if probes and (url.scheme != "https" or _is_local(url.hostname or "")):
        remedy = "set public_url in [api] to the https address that readers use, before more is published"
        yield Result("public_url", State.WARNING, f"permanent links begin with {settings.api.public_url}", remedy)
    else:
        yield Result("public_url", State.OK, f"permanent links begin with {settings.api.public_url}")
    bad = [one.host for one in settings.enrol.brokers if _is_local(one.host) or not one.tls]
    if probes and bad:
        remedy = "set [[enrol.brokers]]: a name that leads here from everywhere, and tls = true"
        yield Result("brokers", State.WARNING, f"probes are sent to {', '.join(bad)}, local or without TLS", remedy)
    else:
        yield Result("brokers", State.OK, f"probes are sent to {', '.join(one.host for one in settings.enrol.brokers)}")


def _is_local(host: str) -> bool:
    if host in {"", "localhost"}:
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False


def check_certificates(settings: CollectorSettings, now: datetime) -> Iterator[Result]:
    """Certificates and lists of revoked ones go on being valid."""
    files = [("certificates", path, certificate_end(path)) for path in watched_certificates(settings)]
    files += [("crls", path, crl_end(path)) for path in settings.watch.crls]
    for name, path, end in files:
        left_d = None if end is None else (end - now).total_seconds() / 86_400
        if left_d is None or left_d <= 0:
            text = f"{path} {'cannot be read' if left_d is None else 'has expired'}"
            yield Result(name, State.FAILED, text, "renew it, and see that its reader reloads it")
        elif left_d * 86_400 < LIMITS["certificate_left"].value:
            yield Result(name, State.WARNING, f"{path} ends in {left_d:.1f} d", "see why it was not renewed")
        else:
            yield Result(name, State.OK, f"{path}, for {left_d:.0f} d")
    for name in ("certificates", "crls"):
        if name not in {one for one, _, _ in files}:
            yield Result(name, State.NOT_CHECKED, f"none are named in [watch] {name}")


def check_backup(settings: CollectorSettings, now: datetime) -> Result:
    """There is a backup, and it is not old."""
    folder = settings.watch.backup_dir
    make = f"run: civobs backup {folder}; and have a timer do it (deploy/systemd/civobs-backup.timer)"
    if folder is None:
        remedy = "set backup_dir in [watch]: until then nobody is told that no backup is made"
        return Result("backup", State.WARNING, "no folder of backups is named", remedy)
    try:
        whole = complete_until(folder, now)
    except OSError as error:
        return Result("backup", State.FAILED, f"cannot look into {folder}: {error.strerror}", "let this user read it")
    if not whole:
        return Result("backup", State.FAILED, f"there is no whole backup in {folder}", make)
    age_s = (now - made_at(whole[-1])).total_seconds()
    text = f"{whole[-1].name}, {age_s / 3600:.0f} h old, the newest of {len(whole)}"
    if age_s > LIMITS["backup_age"].value:
        return Result("backup", State.FAILED, text, make)
    return Result("backup", State.OK, text)


def check_programs(settings: CollectorSettings, server_number: int) -> Result:
    """The programs that back up and restore are there, and no older than the server."""
    wanted = server_number // 10_000
    remedy = f"install postgresql-client-{wanted}, or set programs_dir in [backup]"
    found: list[str] = []
    for name in ("pg_dump", "pg_restore"):
        try:
            program = find_program(settings, name, server_number)
            words = [program, "--version"]
            said = subprocess.run(words, capture_output=True, text=True, timeout=_PROGRAM_S, check=True).stdout
            major = int(said.split()[2].split(".")[0])
        except CivobsCollectorError as error:
            return Result("pg_programs", State.FAILED, error.cause, error.remedy)
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return Result("pg_programs", State.FAILED, f"{program} does not say its version", remedy)
        if major < wanted:
            return Result("pg_programs", State.FAILED, f"{program} is {major}, the server {wanted}: it refuses", remedy)
        found.append(f"{name} {major}")
    return Result("pg_programs", State.OK, ", ".join(found))
