# What the scripts beside this file have in common. They set `here`, their own folder, and
# `script`, their name, before they read it.
# shellcheck shell=sh

say() { printf '%s: %s\n' "$script" "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# A command line that cannot be meant: exit status 2, like that of the tools.
misused() {
    say "$* (see man ol-deploy)"
    exit 2
}

# The folder of the tools: OL_TOOLS, that of the tree, of the installation, or PATH's.
find_tools() {
    for tools in "${OL_TOOLS:-}" "$here/../../build" "$here/../../../bin" \
        "$(dirname "$(command -v ol-extract || echo /)")"; do
        if [ -n "$tools" ] && [ -x "$tools/ol-extract" ]; then
            tools=$(cd "$tools" && pwd)
            return
        fi
    done
    die "there is no ol-extract: run make, or put it into PATH, or its folder into OL_TOOLS"
}

# As one word of a shell's command line.
quote() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# A name as it can be typed, in quotes where it needs them.
typed() {
    case $1 in
    '' | *[!A-Za-z0-9_./:@%+=,-]*) quote "$1" ;;
    *) printf '%s' "$1" ;;
    esac
}

# Words that a shell reads back as they are.
words() { for word in "$@"; do printf ' %s' "$(quote "$word")"; done; }

is_number() {
    case $1 in
    '' | *[!0-9]* | 0*) return 1 ;;
    esac
}

# has OPTION WORD...: whether the option is among the words, as --option VALUE or --option=VALUE.
has() {
    wanted=$1
    shift
    for word in "$@"; do
        case $word in
        "$wanted" | "$wanted="*) return 0 ;;
        esac
    done
    return 1
}

# Whether ol-extract takes a text of this name from the Hub.
is_at_hub() {
    case $1 in
    hf://* | fineweb-edu) return 0 ;;
    esac
    return 1
}

# Whether there is such a text among ol-extract's options.
has_text_at_hub() {
    while [ $# -gt 0 ]; do
        case $1 in
        --text=*) if is_at_hub "${1#*=}"; then return 0; fi ;;
        -t | --text)
            if is_at_hub "${2:-}"; then return 0; fi
            ;;
        esac
        shift
    done
    return 1
}

# The last part of a model's name: of a path, of org/name, of org/name@revision.
short_name() {
    if [ -d "$1" ]; then basename "$(cd "$1" && pwd)"; else basename "${1%%@*}"; fi
}

utc_now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

part_path() { # RUN.h5 I P
    printf '%s.part-%s-of-%s.h5' "${1%.h5}" "$2" "$3"
}

# ---- what a run needs, from ol-extract --plan ----

# plan WHERE MODEL [ol-extract options]: JSON of a run on "--backend cpu" or "--device-model ...".
# No text is read, so ids are counted here.
plan() {
    where=$1 model=$2
    shift 2
    ids=''
    # What is of a device, or of the text, does not matter to it.
    n=$#
    while [ "$n" -gt 0 ]; do
        word=$1
        shift
        n=$((n - 1))
        case $word in
        --backend | --devices | --memory | --ids)
            [ "$word" != --ids ] || ids=$1
            shift
            n=$((n - 1))
            ;;
        --backend=* | --devices=* | --memory=*) ;;
        --ids=*) ids=${word#--ids=} ;;
        *) set -- "$@" "$word" ;;
        esac
    done
    if [ -n "$ids" ] && [ -r "$ids" ]; then
        # shellcheck disable=SC2046 # Two words.
        set -- $(awk 'NF > most { most = NF } END { print "-n", NR, "-l", most }' "$ids") "$@"
    fi
    # shellcheck disable=SC2086 # Several words.
    "$tools/ol-extract" --plan $where "$@" "$model"
}

# device_plan N MODEL [ol-extract options]: likewise on N devices with as little memory as do, of
# the sizes (GB) that are made.
device_plan() {
    last=$(($1 - 1))
    shift
    devices=$(seq -s , 0 "$last")
    for size in 8 12 16 24 32 40 48 80 96; do
        if plan "--device-model memory=${size}G --devices $devices" "$@" 2>/dev/null; then return; fi
    done
    plan "--device-model memory=141G --devices $devices" "$@"
}

# field NAME: a number of a plan on standard input; of several the last.
field() { sed -n "s/^ *\"$1\": \([0-9]*\).*/\1/p" | tail -n 1; }

# Of bytes, rounded up.
gib() { echo $((($1 + 1073741823) / 1073741824)); }
