#!/bin/bash
# A file system that becomes read-only under a writer, as ext4 does by itself when it meets an error.
#
# It lies in a file, on a loop device that goes with its mount, in a mount namespace of our own.
if [ "${SEGLOG_MOUNTS:-}" != own ]; then
    if [ "$(id -u)" -ne 0 ] || ! unshare --mount true 2>/dev/null; then
        echo 'needs root, to mount a file system from a file'
        exit 77
    fi
    SEGLOG_MOUNTS=own exec unshare --mount "$BASH" "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin:/sbin

mkdir disk
truncate -s 48M image
if ! { mkfs.ext4 -q -F -E nodiscard image && mount -o loop,errors=remount-ro image disk; } 2>err; then
    head -n 1 err
    echo 'needs mkfs.ext4 and a loop device'
    exit 77
fi
device=$(awk -v at="$PWD/disk" '$2 == at { print $1 }' /proc/self/mounts)
trigger=/sys/fs/ext4/${device##*/}/trigger_fs_error
if [ ! -w "$trigger" ]; then
    umount disk
    echo 'this kernel cannot be told to find an error'
    exit 77
fi

told() { "$SEGLOG" info --json disk/log | jq "$1"; }
is_told() { [ "$(told "$1")" = true ]; }

# writer NAME LEVEL: appends to disk/NAME what the pipe NAME.in brings
writer() {
    "$SEGLOG" create "disk/$1" --segment-size 256K
    mkfifo "$1.in"
    "$SEGLOG" append "disk/$1" --sync "$2" <"$1.in" >"$1.out" 2>"$1.err" &
    pid=$!
    jobs_started+=("$pid")
}

# A store into a page that the file system would have to make writable first is SIGBUS.
ended_for_it() { [ $code -eq 74 ] || [ $code -eq 73 ] || [ $code -eq $((128 + $(kill -l BUS))) ]; }

writer log record
writer=$pid
exec 4>log.in
seq 0 99 >&4
until_true is_told '.durable_seq == 100'
fact $? 'a writer has each record made durable'
! mount -o remount,ro disk 2>/dev/null
fact $? 'while it is there, nobody can make the file system read-only by asking for it'

start follower tail -f disk/log -n 100
follower=$pid
until_true lines_are follower.out 100
fact $? 'somebody follows'

writer quick none
quick=$pid
exec 5>quick.in
echo begun >&5
holds_one() { [ "$("$SEGLOG" info --json disk/quick | jq .records)" -eq 1 ]; }
until_true holds_one
fact $? 'and a writer appends that waits for nothing'

echo 'for a test' >"$trigger"
seq 100 99999 2>/dev/null >&4 & # until nobody reads any more
exec 4>&-
ends "$writer"
ended_for_it
fact $? "an error makes it read-only: the writer ends (exit $code)"
is_told .poisoned || [ $code -ne 74 ]
fact $? 'and says of the log that no more can be made durable'
durable=$(told .durable_seq)
seq 100 99999 2>/dev/null >&5 &
exec 5>&-
ends "$quick"
ended_for_it
fact $? "who waits for nothing ends when it needs the next segment (exit $code)"
run verify disk/quick
status_is 'and leaves a log that is sound' 0
run cat disk/log
seq 0 99999 | head -n "$(wc -l <out)" | cmp -s - out
fact $? 'what was appended can be read'
readable=$(wc -l <out)
[ "$readable" -ge "$durable" ]
fact $? 'all of what is durable'
run verify disk/log
status_is 'and verified' 0
run append disk/log
status_is 'nobody can append' 73
err_like 'which is said' 'Read-only file system'
kill -TERM "$follower"
ends "$follower"
status_is 'whoever followed goes on until it is ended' 0

# ---- and after a look at the disk ------------------------------------------------------------------

umount disk && e2fsck -fy image >fsck.out 2>&1
[ $? -lt 4 ] && mount -o loop image disk
fact $? 'the file system is mended and mounted again'
run cat disk/log
kept=$(wc -l <out)
seq 0 99999 | head -n "$kept" | cmp -s - out
fact $? 'what is there is a first part of what there was'
[ "$kept" -ge "$durable" ] && [ "$kept" -le "$readable" ]
fact $? 'with all that was durable'
run_in append disk/log <<<'one more'
status_is 'and appending goes on' 0
run cat disk/log
is 'behind it' "$(wc -l <out)" $((kept + 1))
run verify disk/log
status_is 'in a log that is sound' 0
umount disk
done_testing
