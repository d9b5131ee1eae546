#!/bin/bash
# Appending from pipes: at once, and ending in order when asked to.
. "$(dirname "$0")/lib.sh"

stored() { # LOG N: the log holds N records
    [ "$("$SEGLOG" cat "$1" 2>/dev/null | wc -l)" -eq "$2" ]
}

# feed LOG ARGS...: append in the background, fed through descriptor 7.
feed() {
    rm -f fifo
    mkfifo fifo
    last="append $* &"
    "$SEGLOG" append "$@" <fifo >feed.out 2>feed.err &
    pid=$!
    jobs_started+=("$pid")
    exec 7>fifo
}

feed log
for i in 1 2 3; do
    echo "line $i" >&7
    until_true stored log $i
    fact $? "record $i is there before the pipe says more"
done
printf 'whole\nbegun' >&7 # one write: when the first part is there, the second was read too
until_true stored log 4
kill -TERM $pid
ends $pid
exec 7>&-
status_is 'SIGTERM ends append in order' 0
is 'with totals, and the record at hand' "$(cat feed.err)" \
    'appended 5 records, 28 bytes, first 0, last 4'
is 'no byte that was read is lost' "$("$SEGLOG" tail -n 1 log)" begun

feed log2 --count
until_true test -d log2
kill -INT $pid
ends $pid
exec 7>&-
status_is 'SIGINT before anything is appended' 0
is 'totals of nothing' "$(cat feed.err)" 'appended 0 records, 0 bytes, first -, last -'

feed log3 -q
echo x >&7
until_true stored log3 1
kill -TERM $pid
ends $pid
exec 7>&-
[ ! -s feed.err ]
fact $? '-q keeps the totals back'

feed log4 -p
printf '\1\0\0\0a\2\0\0\0b' >&7
until_true stored log4 1
kill -TERM $pid
ends $pid
exec 7>&-
status_is 'half a record cannot be finished' 0
grep -q 'standard input: 5 bytes of unfinished records' feed.err
fact $? 'which is said'
is 'the whole ones are there' "$("$SEGLOG" cat log4)" a

# The rest of the pipe is left to the next one.
rm -f fifo
mkfifo fifo
exec 7<>fifo
"$SEGLOG" append log5 --rate 0.001 <&7 2>feed.err &
pid=$!
jobs_started+=("$pid")
echo one >&7
until_true stored log5 1
kill -TERM $pid
ends $pid
echo two >&7
"$SEGLOG" append log5 --count <&7 2>feed.err &
pid=$!
jobs_started+=("$pid")
until_true stored log5 2
fact $? 'what was not read is read by the next append'
kill -TERM $pid
ends $pid
exec 7>&-

# A stream under way, cut at some record.
"$SEGLOG" append log6 --sync none < <(yes 'a line of some length' | head -c 2G) 2>feed.err &
pid=$!
jobs_started+=("$pid")
until_true "$SEGLOG" cat log6 -n 1 -o none
kill -TERM $pid
ends $pid
status_is 'a stream is cut in order' 0
is 'and all that was counted is there' "$(sed 's/ bytes.*//' feed.err)" \
    "$("$SEGLOG" cat log6 -o none -v 2>&1 | sed 's/.*printed/appended/; s/ bytes//')"
is 'as whole records' "$("$SEGLOG" cat log6 | sort -u)" 'a line of some length'

# Killed, nothing published is lost, and the next one goes on.
feed log7
seq 1 1000 >&7
until_true stored log7 1000
kill -KILL $pid
ends $pid 2>/dev/null
exec 7>&-
status_is 'killed' 137
echo after | "$SEGLOG" append log7
is 'what was appended stays' "$("$SEGLOG" cat log7 | cksum)" "$({ seq 1 1000; echo after; } | cksum)"

# Two appenders.
feed log8 --exclusive
echo mine >&7
until_true stored log8 1
run append log8
status_is 'nobody appends beside an exclusive appender' 75
err_like 'in one line that says why' '^seglog: append: log8: an exclusive appender is attached'
exec 7>&-
ends $pid
status_is 'the end of the input ends it' 0
feed log8
echo shared >&7
until_true stored log8 2
run append log8 --exclusive
status_is 'nor is one exclusive beside another' 75
err_like 'which is said' 'other appenders are attached'
run append log8
status_is 'but shared ones go together' 0
is 'info counts them' "$("$SEGLOG" info --json log8 | jq .appenders)" 1
exec 7>&-
ends $pid

# A full disk.
if unshare -rm true 2>/dev/null; then
    unshare -rm bash -c '
        mkdir full && mount -t tmpfs -o size=2m none full || exit 99
        "$1" create full/log --segment-size 64K --sync none
        head -c 4000000 /dev/urandom | base64 | "$1" append full/log --count 2>err
        echo $? >code
        "$1" cat full/log -o none -v 2>cat.err
        echo $? >>code
    ' - "$SEGLOG"
    last='append to a full disk'
    code=$(head -n 1 code)
    status_is 'a full disk is 73' 73
    err_like 'in one line that says why' '^seglog: append: full/log: No space left on device'
    is 'and the log can be read' "$(tail -n 1 code)" 0
    is 'with all that was appended' "$(sed -n 's/^appended \([0-9]*\) .*/\1/p' err)" \
        "$(sed -n 's/.*printed \([0-9]*\) .*/\1/p' cat.err)"

    # It is said before it hurts. Near the end lines come slowly, so that the thread that prepares is
    # not outrun.
    unshare -rm bash -c '
        mkdir tight && mount -t tmpfs -o size=1m none tight || exit 99
        "$1" create tight/log --segment-size 64K --sync none
        mkfifo tight.fifo
        "$1" append tight/log <tight.fifo 2>err &
        exec 7>tight.fifo
        line=$(head -c 4000 /dev/zero | tr "\0" x)
        for ((n = 0; n < 400; n++)); do
            grep -q warning err && break
            kill -0 $! 2>/dev/null || break
            echo "$line" >&7
            [ "$(stat -f -c %a tight)" -ge 48 ] || sleep 0.2
        done
        exec 7>&-
        wait $!
        echo $? >code
    ' - "$SEGLOG"
    last='append to a disk that is nearly full'
    code=$(cat code)
    err_like 'a segment that cannot be prepared is warned of' \
        '^seglog: append: tight/log: warning: the next segment cannot be prepared: No space left'
    is 'in one line' "$(wc -l <err)" 1
    status_is 'and appending goes on until this one is full' 0
fi
done_testing
