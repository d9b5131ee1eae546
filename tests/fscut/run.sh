#!/bin/sh
# Cut the power of real file systems, and look at what a log keeps. Life after life, ext4 and XFS in
# turn: a fresh file system on a disk that takes down each write and flush, processes at work on it,
# and then images of what cuts leave (see fscut.c). Needs root, /dev/fuse, loop devices, mkfs.
#
# usage: run.sh [-n CUTS] [-f ext4|xfs] [-s SEED] [-l CUTS] [-t SECONDS] [-k DIR] PROGRAM
#        run.sh -f ext4|xfs -r TAPE -c CUT PROGRAM
#   -n CUTS     of each file system (default 100)
#   -f FS       this one alone
#   -s SEED     of the first life (default: the clock); the next ones count up from there
#   -l CUTS     of each life (default 50)
#   -t SECONDS  begin no other life after that time
#   -k DIR      where the tape of a life is kept in which a promise was broken
#   -r TAPE     look again at a cut of a tape that was kept; what a seed did to the log depends on how
#               processes came to run, what is cut from a tape does not
#   PROGRAM     tests/fscut of a build directory
# Ends with 0; 1: a promise was broken; 77: it cannot be done here, the last line says why.
# Nothing of it stays behind, however it ends: all mounts are in a namespace of the program's own, and
# loop devices go with their mounts.
set -u
PATH=$PATH:/usr/sbin:/sbin
cuts=100
kinds="ext4 xfs"
seed=$(date +%s)
of_life=50
until=
keep=${TMPDIR:-/tmp}
tape=
cut=
while getopts n:f:s:l:t:k:r:c: option; do
    case $option in
    n) cuts=$OPTARG ;;
    f) kinds=$OPTARG ;;
    s) seed=$OPTARG ;;
    l) of_life=$OPTARG ;;
    t) until=$OPTARG ;;
    k) keep=$OPTARG ;;
    r) tape=$OPTARG ;;
    c) cut=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
program=${1:-}
case $kinds in
ext4 | xfs | "ext4 xfs") ;;
*) echo "no such file system: $kinds" && exit 2 ;;
esac
[ -x "$program" ] || { echo "no program: $program"; exit 77; }
[ "$(id -u)" -eq 0 ] || { echo "only root may mount"; exit 77; }
case $kinds in
ext4) tools="mkfs.ext4 e2fsck" ;;
xfs) tools="mkfs.xfs xfs_repair" ;;
*) tools="mkfs.ext4 e2fsck mkfs.xfs xfs_repair" ;;
esac
for tool in timeout awk $tools; do
    command -v "$tool" >/dev/null || { echo "no $tool here"; exit 77; }
done
for node in /dev/fuse /dev/loop-control /proc/sys/kernel/random/boot_id; do
    [ -e "$node" ] || { echo "no $node here"; exit 77; }
done

# In memory if there is room: images are written whole.
work=
for base in /dev/shm "${TMPDIR:-/tmp}"; do
    free=$(df -Pk "$base" 2>/dev/null | awk 'NR == 2 { print $4 }')
    [ "${free:-0}" -gt 1500000 ] && work=$(mktemp -d "$base/seglog-fscut.XXXXXX") && break
done
[ -n "$work" ] || { echo "no room for images"; exit 77; }

child=
tidy() {
    if [ -n "$child" ]; then
        kill -KILL "$child" 2>/dev/null # its children, and their mounts, go with it
        wait "$child" 2>/dev/null
    fi
    rm -rf "$work"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# In the background, so that a signal is heard at once. The program bounds itself, and dies with us.
run() {
    "$@" </dev/null &
    child=$!
    wait "$child"
    status=$?
    child=
    return "$status"
}

fresh() {
    rm -f "$work/base"
    case $1 in
    ext4)
        truncate -s 96M "$work/base" &&
            run timeout -k 5 60 mkfs.ext4 -q -F -b 4096 \
                -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$work/base"
        ;;
    xfs)
        truncate -s 320M "$work/base" &&
            run timeout -k 5 60 mkfs.xfs -q -f -K -s size=4096 "$work/base"
        ;;
    esac
}

# life FS SEED CUTS
life() {
    echo "# $1: seed $2, $3 cuts"
    fresh "$1" >"$work/out" 2>&1 || { cat "$work/out"; echo "mkfs.$1 failed"; return 77; }
    run "$program" live "$1" "$work/base" "$work" "$2" "$3"
    status=$?
    if [ "$status" -eq 1 ] && cp --sparse=always "$work/tape" "$keep/fscut-$1-$2.tape"; then
        echo "kept: $keep/fscut-$1-$2.tape; again: run.sh -f $1 -r TAPE -c CUT PROGRAM"
    fi
    return "$status"
}

if [ -n "$tape" ]; then
    run "$program" again "$kinds" "$tape" "$work" "$cut"
    exit $?
fi

begun=$(date +%s)
done_of_all=0
for kind in $kinds; do
    left=$cuts
    while [ "$left" -gt 0 ]; do
        now=$(date +%s)
        [ -z "$until" ] || [ $((now - begun)) -lt "$until" ] || break
        n=$of_life
        [ "$n" -lt "$left" ] || n=$left
        life "$kind" "$seed" "$n" || exit $?
        seed=$((seed + 1))
        left=$((left - n))
        done_of_all=$((done_of_all + n))
    done
done
echo "# $done_of_all cuts in $(($(date +%s) - begun)) s, no promise broken"
