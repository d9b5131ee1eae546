#!/bin/bash
# tail --cursor, and places that are cursors: going on where the last one stopped.
. "$(dirname "$0")/lib.sh"

at() { # LOG NAME: where the cursor stands
    "$SEGLOG" cursor show --json "$1" "$2" | jq .seq
}
at_is() {
    [ "$(at "$1" "$2")" = "$3" ]
}
held() {
    "$SEGLOG" cursor show --json "$1" "$2" | jq -e .held >/dev/null
}

# One after the other.
seq 0 99 | "$SEGLOG" append log
run tail --cursor c log
out_is 'a new cursor begins where tail does' "$(seq 90 99)"
is 'and stands behind what was printed' "$(at log c)" 100
run tail --cursor c log
status_is 'nothing new is 1' 1
seq 100 149 | "$SEGLOG" append log
run tail --cursor c -n 20 log
out_is 'the next one goes on there, for as many as asked' "$(seq 100 119)"
run tail --cursor c log --to 125
out_is 'to a place' "$(seq 120 124)"
run tail --cursor c log --from first --grep 7
out_is 'an old cursor is not led elsewhere' $'127\n137\n147'
is 'what was passed over is done, too' "$(at log c)" 150
run tail --cursor d -n 3 log
out_is 'a new one: -n' "$(seq 147 149)"
run tail --cursor e --from 5 --to 8 log
out_is 'a new one: --from' "$(seq 5 7)"
is 'stands at --to' "$(at log e)" 8
run tail --cursor f -n 0 log
status_is 'a new one at the end' 1
is 'is there' "$(at log f)" 150
refused 'one that is to begin where the log has not come' 66 tail --cursor g --from 151 log
refused 'is not made' 1 cursor show log g
refused 'a name that can be none' 2 tail --cursor .x log
refused 'backward' 2 tail --cursor c --reverse log
refused 'no log' 66 tail --cursor c nosuch

# Nothing is done that was not written.
if [ -w /dev/full ]; then
    "$SEGLOG" tail --cursor e log >/dev/full 2>err
    code=$?
    status_is 'a full disk is told' 73
    is 'and moves nothing' "$(at log e)" 8
fi

# Places.
run cat log --from cursor:e -n 2
out_is 'from a cursor' $'8\n9'
run cat log --from 5 --to cursor:e
out_is 'to a cursor' $'5\n6\n7'
run cursor set log e2 cursor:e
is 'a cursor where another one is' "$(at log e2)" 8
refused 'no such cursor' 66 cat log --from cursor:none
err_like 'is named' 'cursor none: no such cursor'
refused 'an empty name' 2 cat log --from cursor:
refused 'no name of a cursor' 2 cat log --to cursor:.x

# Followed, held, killed.
start follow tail -f --cursor w --from 0 log
first=$pid
until_true lines_are follow.out 150
until_true at_is log w 150
fact $? 'following moves it as soon as the output has caught up'
run tail --cursor w log
status_is 'one that a living process holds is busy' 75
err_like 'in a clear line' "cursor w: a living process holds it \\($first"
is 'info names the owner' "$("$SEGLOG" info --json log | jq '.cursors[] | select(.name == "w").owner')" "$first"
is 'and the lag' "$("$SEGLOG" info --json log | jq -c '.cursors[] | select(.name == "e") | [.seq, .lag_records, .owner]')" '[8,142,null]'
"$SEGLOG" info log | grep -Eq "^w +held .* by process $first$"
fact $? 'for people, too'
seq 150 159 | "$SEGLOG" append log
until_true lines_are follow.out 160
until_true at_is log w 160
kill -INT $pid
ends $pid
status_is 'SIGINT ends it in order' 0
is 'all that was printed is done' "$(at log w)" "$(wc -l <follow.out)"
start follow2 tail -f --cursor w log
until_true held log w
seq 160 20000 | "$SEGLOG" append log
until_true test -s follow2.out
kill -KILL $pid
ends $pid 2>/dev/null
done_to=$(at log w)
printed=$(($(wc -l <follow2.out) + 160)) # whole lines
[ "$done_to" -le "$printed" ]
fact $? 'killed, it has done no more than it printed'
run tail --cursor w log
out_is 'and the next one goes on there at once' "$(seq "$done_to" 20000)"

# Under a stream that never pauses.
"$SEGLOG" create busy --segment-size 256K --sync none
"$SEGLOG" append busy < <(yes "$(printf %0500d 0)" | head -c 400M) 2>/dev/null &
feeder=$!
jobs_started+=("$feeder")
until_true "$SEGLOG" cat busy -n 1 -o none
start stream tail -f --cursor s --from first -o none busy
until_true held busy s
moved() { [ "$(at busy s)" -gt 0 ]; }
until_true moved
fact $? 'it moves under a stream that never pauses'
kill -TERM $pid
ends $pid
status_is 'and ends in order' 0
kill -KILL $feeder 2>/dev/null
ends $feeder 2>/dev/null

# A full disk: what is there can be moved, what is not cannot be made.
if unshare -rm true 2>/dev/null; then
    unshare -rm bash -c '
        mkdir full && mount -t tmpfs -o size=1m none full || exit 99
        "$1" create full/log --segment-size 64K && seq 0 99 | "$1" append full/log
        "$1" cursor set full/log c 0
        head -c 2M /dev/zero >full/rest 2>/dev/null
        "$1" tail -n 60 --cursor c full/log >out 2>err
        echo $? >code
        "$1" cursor show --json full/log c | jq .seq >>code
        "$1" tail --cursor new full/log >>out 2>new.err
        echo $? >>code
        ls full/log | grep -c new >>code
    ' - "$SEGLOG"
    last='tail --cursor on a full disk'
    is 'on a full disk a cursor is moved; none is made, nor anything left of it' \
        "$(tr '\n' ' ' <code)" '0 60 73 0 '
    grep -q '^seglog: tail: full/log: No space left' new.err
    fact $? 'which is said'
    is 'and nothing was printed that no cursor stands for' "$(cat out)" "$(seq 0 59)"
fi

# Trimmed under it.
"$SEGLOG" create t --segment-size 64K && seq 0 9999 | "$SEGLOG" append t
"$SEGLOG" cursor set t c 10 && "$SEGLOG" cursor set t half 5000
run trim --before cursor:half t
err_like 'a trim to a cursor stops at another one' 'held back by cursor c'
"$SEGLOG" trim --before cursor:half --force t 2>err
left=$("$SEGLOG" info --json t | jq .first_seq)
[ "$left" -gt 10 ] && [ "$left" -le 5000 ]
fact $? 'forced, it does not'
run cat t --from cursor:c -n 1
out_is 'a place that was removed is where the log begins' "$left"
err_like 'which is said' 'removed by retention'
run tail --cursor c -n 1 t
out_is 'so it is for tail' "$left"
err_like 'which is said as well' "going on at record $left"
is 'and the cursor goes on behind it' "$(at t c)" $((left + 1))
done_testing
