"""What can end while nobody looks: room on disks, certificates, lists of revoked certificates, backups.

What cannot be read counts as ended, so that a folder that went away or a file nobody may read is an alert, not silence.
"""

import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from civobs_collector.config import CollectorSettings
from civobs_collector.gauges import Sample
from civobs_collector.operate.manifest import complete_until, made_at

logger = logging.getLogger(__name__)

_END_OF_CRL = b"-----END X509 CRL-----"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def look_around(settings: CollectorSettings, now: datetime) -> Iterator[Sample]:
    """Measure all that ``[watch]`` names, the archive's disk, and the authority of the broker."""
    watch = settings.watch
    for folder in dict.fromkeys((settings.ingest.archive_dir, *watch.folders)):
        yield Sample("disk_free_share", free_share(folder), str(folder))
    for file in watched_certificates(settings):
        yield Sample("certificate_left_s", _left_s(certificate_end(file), now), str(file))
    for file in watch.crls:
        yield Sample("crl_left_s", _left_s(crl_end(file), now), str(file))
    if watch.backup_dir is not None:
        yield Sample("backup_age_s", (now - newest_backup(watch.backup_dir, now)).total_seconds())


def watched_certificates(settings: CollectorSettings) -> tuple[Path, ...]:
    """Those that ``[watch]`` names, and the authority of the broker."""
    authority = () if settings.broker.tls_ca is None else (settings.broker.tls_ca,)
    return tuple(dict.fromkeys((*authority, *settings.watch.certificates)))


def free_share(folder: Path) -> float:
    """The share of a folder's disk that is free; 0 where it cannot be looked at."""
    try:
        disk = shutil.disk_usage(folder)
    except OSError as error:
        logger.warning("cannot look at the disk of folder=%s cause=%r", folder, error.strerror)
        return 0.0
    return disk.free / disk.total if disk.total else 0.0


def certificate_end(file: Path) -> datetime | None:
    """When the first of a PEM file's certificates expires; None where it holds none that can be read."""
    try:
        return min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(file.read_bytes()))
    except (OSError, ValueError) as error:
        logger.warning("cannot read certificates of file=%s cause=%r", file, str(error))
        return None


def crl_end(file: Path) -> datetime | None:
    """When the first of a PEM file's lists of revoked certificates expires; None where none can be read.

    A list that names no end, which RFC 5280 §5.1.2.5 forbids, counts as ended: who checks it may refuse everybody.
    """
    try:
        parts = file.read_bytes().split(_END_OF_CRL)[:-1]
        lists = [x509.load_pem_x509_crl(part + _END_OF_CRL + b"\n") for part in parts]
    except (OSError, ValueError) as error:
        logger.warning("cannot read revoked certificates of file=%s cause=%r", file, str(error))
        return None
    ends = [one.next_update_utc for one in lists]
    known = [end for end in ends if end is not None]
    return min(known) if known and len(known) == len(ends) else None


def newest_backup(folder: Path, now: datetime) -> datetime:
    """When the newest whole backup of a folder was begun; the year 1970 where there is none."""
    try:
        whole = complete_until(folder, now)
    except OSError as error:
        logger.warning("cannot look for backups in folder=%s cause=%r", folder, error.strerror)
        return _NEVER
    return made_at(whole[-1]) if whole else _NEVER


def _left_s(end: datetime | None, now: datetime) -> float:
    return 0.0 if end is None else (end - now).total_seconds()
