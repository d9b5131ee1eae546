#!/bin/bash
# Places that cannot be written, places that are refused, a machine without /proc.
#
# Mounts need rights: those of root, or of a user namespace. Where neither is to be had, nothing of
# this can be tried.
if [ "${SEGLOG_MOUNTS:-}" != own ]; then
    unshare=(unshare --mount)
    [ "$(id -u)" -eq 0 ] || unshare=(unshare --map-root-user --mount)
    if ! "${unshare[@]}" true 2>/dev/null; then
        echo 'needs root, or user namespaces, to mount anything'
        exit 77
    fi
    SEGLOG_MOUNTS=own exec "${unshare[@]}" "$BASH" "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"

skip() { # FACTS WHY
    facts=$((facts + 1))
    printf 'ok %d - %s # SKIP %s\n' $facts "$1" "$2"
}

# ---- read-only -----------------------------------------------------------------------------------

mkdir disk
"$SEGLOG" create disk/log --segment-size 64K
seq 0 4999 | "$SEGLOG" append disk/log
"$SEGLOG" create disk/none
mkdir disk/empty ro
mount --bind disk ro && mount -o remount,bind,ro ro
fact $? 'a directory can be mounted read-only'

run cat ro/log
seq 0 4999 | cmp -s - out
fact $? 'cat reads what lies there'
status_is 'and says so' 0
run tail -n 1 ro/log
out_is 'tail' 4999
run cat --reverse -n 1 ro/log
out_is 'backward' 4999
run info --json ro/log
is 'info' "$(jq -c '[.records,.next_seq]' out)" '[5000,5000]'
run verify ro/log
status_is 'verify' 0
run cat ro/none
status_is 'a log that nobody ever attached to is empty' 1
run info ro/none
status_is 'and can be looked at' 0
run append ro/log --count
status_is 'appending is refused' 73
err_like 'for what it is' '^seglog: append: ro/log: Read-only file system; '
refused 'so is sealing' 73 seal ro/log
refused 'and making a log' 73 create ro/new
refused 'in a directory that is there, too' 73 create ro/empty
run append ro/none
status_is 'the first to attach is refused as well' 73
run doctor ro
status_is 'doctor knows' 69

# Whoever may write appends meanwhile; the follower can neither say that it sleeps nor be woken.
start follow tail -f ro/log -n 0 -v
until_true grep -q 'following from record' follow.err
seq 5000 9999 | "$SEGLOG" append disk/log
until_true lines_are follow.out 5000
fact $? 'what others append is followed'
kill -TERM "$pid"
ends "$pid"
status_is 'and left' 0
umount ro

# ---- a file system in user space -----------------------------------------------------------------

why=
command -v bindfs >/dev/null || why='no bindfs here'
[ -n "$why" ] || { mkdir fuse && bindfs disk fuse 2>/dev/null; } || why='FUSE is not to be had'
if [ -n "$why" ]; then
    skip 'a FUSE file system is refused' "$why"
else
    refused 'a FUSE file system is refused' 69 create fuse/new
    err_like 'with the way out' 'choose a local file system; --force accepts the risk$'
    [ ! -e disk/new ]
    fact $? 'and nothing is left there'
    for command in append cat tail seal; do
        refused "$command refuses it" 69 $command fuse/log
    done
    run info fuse/log
    status_is 'info looks at what lies there' 0
    run verify fuse/log
    status_is 'and verify' 0
    run cat --force fuse/log
    seq 0 9999 | cmp -s - out
    fact $? '--force reads it'
    run create --force --segment-size 64K fuse/forced
    status_is '--force makes a log' 0
    [ -e disk/forced/settings ]
    fact $? 'which is there'
    # bindfs has no fallocate: what a log cannot do without is refused with or without force.
    run append --force fuse/forced
    status_is '--force does not replace what is missing' 69
    err_like 'which is said' '^seglog: append: fuse/forced: Operation not supported; '
    [ -z "$(find disk/forced -name '*.tmp')" ]
    fact $? 'and nothing is left half made'
    echo x | "$SEGLOG" append disk/forced
    run cat --force fuse/forced
    out_is 'elsewhere the same log takes records' x
    umount fuse
fi

# ---- a container's root --------------------------------------------------------------------------

# Here a mapping keeps no lock; so whoever is attached must be known by something else.
mkdir layers
mount -t tmpfs none layers && mkdir layers/low layers/up layers/work layers/root
if mount -t overlay none -o lowerdir=layers/low,upperdir=layers/up,workdir=layers/work layers/root \
    2>/dev/null; then
    log=layers/root/log
    "$SEGLOG" create $log --segment-size 64K
    mkfifo more
    "$SEGLOG" append --exclusive $log <more >/dev/null 2>&1 &
    pid=$!
    jobs_started+=("$pid")
    exec 5>more
    echo first >&5
    until_true eval '[ "$("$SEGLOG" cat $log)" = first ]'
    fact $? 'overlay carries a log'
    refused 'whose exclusive appender is known to be there' 75 append --exclusive $log
    refused 'to all others' 75 append $log
    echo second >&5
    exec 5>&-
    ends "$pid"
    is 'and loses nothing' "$("$SEGLOG" cat $log)" $'first\nsecond'
    run doctor layers/root
    out_like 'doctor finds locks that end with a process' 'locks that end +yes'
    umount layers/root
else
    skip 'overlay carries a log' 'overlay cannot be mounted here'
fi
umount layers 2>/dev/null

# ---- file systems that only memory has -----------------------------------------------------------

mkdir memory
if mount -t ramfs none memory 2>/dev/null; then
    run create memory/log --segment-size 64K
    status_is 'ramfs takes a log' 0
    is 'and is known to forget it' "$("$SEGLOG" info --json memory/log | jq .volatile)" true
    run append memory/log
    status_is 'but has no room to reserve' 69
    umount memory
else
    skip 'ramfs takes a log' 'ramfs cannot be mounted here'
fi
if mount -t hugetlbfs none memory 2>/dev/null; then
    refused 'hugetlbfs, which cannot be written to, is refused' 69 create memory/log
    [ -z "$(ls -A memory)" ]
    fact $? 'and nothing is left there'
    umount memory
else
    skip 'hugetlbfs, which cannot be written to, is refused' 'it cannot be mounted here'
fi

# ---- without /proc -------------------------------------------------------------------------------

seq 0 99 | "$SEGLOG" append boot
if grep -q __asan_init "$SEGLOG"; then
    skip 'without /proc the boot is not known' 'the sanitizer itself needs /proc'
elif mount -t tmpfs none /proc 2>/dev/null; then
    run doctor --json .
    is 'without /proc the boot is not known' "$(jq .boot_id out)" false
    run_in append boot <<<'one more'
    status_is 'a log can be appended to all the same' 0
    run cat boot
    is 'and nothing of it is lost' "$(wc -l <out)" 101
    run seal boot
    status_is 'sealed' 0
    run verify boot
    status_is 'and verified' 0
    start follow tail -f boot -n 1
    until_true lines_are follow.out 1
    echo followed | "$SEGLOG" append boot
    until_true lines_are follow.out 2
    fact $? 'and followed'
    kill -TERM "$pid"
    wait "$pid"
    umount /proc
else
    skip 'without /proc the boot is not known' 'nothing can be mounted over /proc'
fi
done_testing
