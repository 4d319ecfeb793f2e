# shellcheck shell=bash
# Sourced by the scripts beside it: `. _setup.sh PROFILE` makes what the profile needs and puts it first on PATH.
#
#   runtime   the agent and the collector
#   scores    and the lab's Python packages, enough to read what it wrote
#   demo      and what the lab runs: a broker, packet filters, namespaces
#   check     and the developer's Python tools
#   test      and TimescaleDB, Chromium
#
# A second run looks at two stamps and changes nothing. CIVOBS_VENV names another virtual environment than .venv,
# CIVOBS_PYTHON another interpreter, CIVOBS_CACHE another place than ~/.cache/civobs for what is kept between checkouts.
# Debian packages need root, or sudo that asks no password. What one user has set up every user who can read the
# checkout can run; who cannot write to it and finds nothing set up names a folder of their own in CIVOBS_VENV.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${CIVOBS_VENV:-$ROOT/.venv}
CACHE=${CIVOBS_CACHE:-$HOME/.cache/civobs}
export CIVOBS_CACHE=$CACHE
# Debian keeps nft, mosquitto and iptables where a user's PATH does not look.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

_say() { printf 'set-up: %s\n' "$*" >&2; }

_die() { # cause, remedy
    printf '%s: %s\n        %s\n' "$(basename "$0")" "$1" "$2" >&2
    exit 2
}

# One set-up at a time, also over several checkouts: they share the cache and the package manager.
_locked() {
    mkdir -p "$CACHE" 2>/dev/null || _die "cannot write to $CACHE" "name another folder in CIVOBS_CACHE"
    exec 9>"$CACHE/setup.lock"
    if ! flock --nonblock 9; then
        _say "waiting for another set-up to finish"
        flock 9
    fi
    "$@" 9>&-
    exec 9>&-
}

_as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Install Debian packages, and leave no service of theirs running or waiting for the next boot.
_debian() {
    command -v apt-get >/dev/null ||
        _die "missing: $*; and this is not Debian" "install them by hand, or use Debian 12 or 13"
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null ||
        _die "missing Debian packages: $*" "run as root: apt-get install --no-install-recommends $*"
    _say "installing Debian packages: $*"
    local policy=/usr/sbin/policy-rc.d log=$CACHE/apt.log
    if [ ! -e $policy ]; then
        # Also when it is interrupted: with this file left, no service of the machine would start.
        trap "_as_root rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' | _as_root tee $policy >/dev/null
        _as_root chmod 755 $policy
    fi
    local failed=""
    { _as_root apt-get update -q && _as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null || failed=yes
    if [ -n "$failed" ]; then
        tail -n 5 "$log" >&2
        _die "apt-get could not install: $*" "see $log, mend what it says, and run this again"
    fi
    if [ -n "$(trap -p EXIT)" ]; then
        _as_root rm -f $policy
        trap - EXIT
    fi
    if [ -d /run/systemd/system ]; then
        local unit
        for unit in mosquitto postgresql; do
            [[ " $* " != *" $unit"* ]] || _as_root systemctl --quiet disable --now "$unit" || true
        done
    fi
}

_python() {
    local name
    for name in ${CIVOBS_PYTHON:-python3 /usr/bin/python3 python3.13 python3.12 python3.11}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$name" -c 'import ensurepip, venv' 2>/dev/null && { command -v "$name"; return; }
        fi
    done
    return 1
}

_find_python() {
    local found
    found=$(_python) && { printf '%s' "$found"; return; }
    [ -z "${CIVOBS_PYTHON:-}" ] ||
        _die "$CIVOBS_PYTHON is not a Python 3.11 or newer with venv" "set CIVOBS_PYTHON to one, or unset it"
    _debian python3 python3-venv >&2
    _python || _die "no Python 3.11 or newer" "use Debian 12 or newer, or name an interpreter in CIVOBS_PYTHON"
}

# What decides whether the environment is current: the checkout it points into and the list of dependencies.
_fingerprint() { { printf '%s\n' "$ROOT"; cat "$ROOT/pyproject.toml"; } | sha256sum | cut -d' ' -f1; }

_have_python() { # extras, widest last
    local extra
    for extra in "$@"; do
        [ "$(cat "$VENV/.civobs-$extra" 2>/dev/null)" != "$(_fingerprint)" ] || return 0
    done
    return 1
}

_make_python() {
    local extra=$1
    # Another set-up may have done it while this one waited for the lock.
    ! _have_python "$@" || return 0
    if ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
        local python said
        python=$(_find_python) || exit 2
        _say "making $VENV with $("$python" --version)"
        said=$("$python" -m venv --clear "$VENV" 2>&1) ||
            _die "cannot make $VENV: ${said##*$'\n'}" "name another folder in CIVOBS_VENV"
    fi
    _say "installing Python packages for '$extra' (the first time takes a minute or two)"
    local log=$VENV/install.log
    "$VENV/bin/python" -m pip install --no-input --disable-pip-version-check -e "$ROOT[$extra]" \
        >"$log" 2>&1 </dev/null 9>&- || {
        tail -n 5 "$log" >&2
        _die "pip could not install civobs[$extra]" "see $log; without a network nothing can be fetched"
    }
    _fingerprint >"$VENV/.civobs-$extra"
}

# Debian packages whose program is not there.
_missing() {
    local program
    for program in "$@"; do
        command -v "${program%%=*}" >/dev/null || printf '%s\n' "${program##*=}"
    done
}

_lab_packages() {
    _missing mosquitto nft=nftables iptables ip=iproute2 tc=iproute2 mount unshare=util-linux nsenter=util-linux \
        setpriv=util-linux
}

_test_packages() {
    _lab_packages
    _missing chromium
}

# Whether this machine lets this user make namespaces, told before anything is installed for it. Where not even a
# Python is there, the lab says it later.
_may_build_a_lab() {
    local python
    ! python=$(_python) || "$python" "$ROOT/tests/lab/civobs_lab/machine.py" || exit 2
}

_have_timescale() {
    compgen -G '/usr/lib/postgresql/*/lib/timescaledb.so' >/dev/null || [ -d "$CACHE/trixie-root" ]
}

# Debian 12 has no TimescaleDB, so a small Debian 13 tree is made beside it; Debian 13 has the package.
_make_timescale() {
    ! _have_timescale || return 0
    if [ "$(. /etc/os-release && printf '%s' "${VERSION_ID:-}")" = 13 ]; then
        _debian postgresql-17-timescaledb
        return
    fi
    command -v mmdebstrap >/dev/null || _debian mmdebstrap
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null ||
        _die "there is no TimescaleDB, and making its Debian 13 tree needs root" "run scripts/test once as root"
    local made=$CACHE/trixie-root.$$
    trap "_as_root rm -rf --one-file-system '$made'" EXIT
    _say "making a Debian 13 tree with TimescaleDB in $CACHE/trixie-root (about 40 s)"
    _as_root mmdebstrap --quiet --variant=apt --include=postgresql-17-timescaledb trixie "$made" </dev/null ||
        _die "mmdebstrap failed" "see its words above; it needs Debian's archive"
    _as_root mv -T "$made" "$CACHE/trixie-root"
    trap - EXIT
}

_install_missing() {
    local packages
    mapfile -t packages < <("$1" | sort -u)
    [ ${#packages[@]} = 0 ] || _debian "${packages[@]}"
}

case ${1:?profile} in
runtime)
    _have_python collector demo dev || _locked _make_python collector demo dev
    ;;
scores)
    _have_python demo dev || _locked _make_python demo dev
    ;;
demo)
    _have_python demo dev || { _may_build_a_lab && _locked _make_python demo dev; }
    [ -z "$(_lab_packages)" ] || _locked _install_missing _lab_packages
    ;;
check)
    _have_python dev || _locked _make_python dev
    ;;
test)
    _have_python dev || _locked _make_python dev
    [ -z "$(_test_packages)" ] || _locked _install_missing _test_packages
    _have_timescale || _locked _make_timescale
    ;;
*) _die "unknown profile $1" "use runtime, demo, check or test" ;;
esac
PATH=$VENV/bin:$PATH
