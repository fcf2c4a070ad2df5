#!/bin/sh
# deps.sh check: say which library is missing, with its package, and fail.
# deps.sh tools COMMAND...: fail when a command is missing, naming it.
# deps.sh install PACKAGE...: install missing packages on Debian and Ubuntu, name them elsewhere.
set -eu

check() {
    missing=
    note() { missing="$missing  $1 (Debian package $2)
"; }
    if ! command -v pkg-config >/dev/null 2>&1; then
        note pkg-config pkg-config
    else
        pkg-config --exists 'hdf5 >= 1.10.5' 2>/dev/null || note 'HDF5 1.10.5 or newer' libhdf5-dev
        pkg-config --exists jansson || note jansson libjansson-dev
        pkg-config --exists libpcre2-8 || note PCRE2 libpcre2-dev
        pkg-config --exists libutf8proc || note utf8proc libutf8proc-dev
        pkg-config --exists zlib || note zlib zlib1g-dev
        pkg-config --exists libzstd || note zstd libzstd-dev
        # Not every release of it tells pkg-config.
        pkg-config --exists snappy || echo '#include <snappy-c.h>' | ${CC:-cc} -E - >/dev/null 2>&1 ||
            note snappy libsnappy-dev
        pkg-config --exists libcrypto || note 'OpenSSL libcrypto' libssl-dev
        pkg-config --exists libcurl || note libcurl libcurl4-openssl-dev
    fi
    [ -z "$missing" ] && return 0
    printf 'These libraries are missing:\n%s' "$missing" >&2
    printf '"make deps" installs them on Debian and Ubuntu.\n' >&2
    return 1
}

tools() {
    missing=
    for tool in "$@"; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    [ -z "$missing" ] && return 0
    printf 'These commands are missing:%s (Debian packages of the same names)\n' "$missing" >&2
    return 1
}

install() {
    if ! command -v dpkg-query >/dev/null 2>&1; then
        printf 'This is no Debian or Ubuntu. Install by your own means what these packages hold:\n' >&2
        printf '  %s\n' "$@" >&2
        check
        return
    fi
    wanted=
    for package in "$@"; do
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true) in
            'install ok installed') ;;
            *) wanted="$wanted $package" ;;
        esac
    done
    if [ -z "$wanted" ]; then
        printf 'all packages are installed\n' >&2
        return 0
    fi
    sudo=
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            printf 'Not root and no sudo. As root: apt-get install%s\n' "$wanted" >&2
            return 1
        fi
        sudo=sudo
    fi
    printf 'installing, which may take minutes:%s\n' "$wanted" >&2
    log=$(mktemp)
    # The names are several words.
    # shellcheck disable=SC2086
    if ! { $sudo apt-get update &&
           $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $wanted; } \
         >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

action=$1
shift
case $action in
    check) check ;;
    tools) tools "$@" ;;
    install) install "$@" ;;
    *) printf 'usage: deps.sh check | tools COMMAND... | install PACKAGE...\n' >&2; exit 2 ;;
esac
