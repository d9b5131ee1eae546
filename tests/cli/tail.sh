#!/bin/bash
# The last records, and those to come.
. "$(dirname "$0")/lib.sh"

seq 0 99 | "$SEGLOG" append log
run tail log
out_is 'ten by default' "$(seq 90 99)"
run tail -n 3 log
out_is '-n' "$(seq 97 99)"
run tail -n 1000 log
out_is 'more than there are' "$(seq 0 99)"
run tail -n 0 log
status_is 'none' 1
run tail log --from 95
out_is '--from: all from there' "$(seq 95 99)"
run tail log --from 5 -n 2
out_is '--from and -n: the last of them' "$(seq 98 99)"
run tail log --from 99 -n 5
out_is '--from and -n: not more than there are' 99
run tail log --to 50
out_is '--to: the last before it' "$(seq 40 49)"
run tail log --from 5 --to 8
out_is 'an interval' "$(seq 5 7)"
run tail log --reverse
out_is '--reverse' "$(seq 99 -1 90)"
run tail log --grep 7 -n 3
out_is '--grep counts what matches' $'79\n87\n97'
seq 100 119 | "$SEGLOG" append log --tag 5
seq 120 139 | "$SEGLOG" append log
run tail log --tag 5 -n 2
out_is '--tag counts what matches' $'118\n119'
run tail log -n 1 -o json
is 'forms as in cat' "$(jq -c '[.seq,.text]' out)" '[139,"139"]'
run tail log -n 1 --format '%o\n'
out_is 'formats too' 139
refused 'no log' 66 tail nosuch
refused 'no log to follow' 66 tail -f nosuch
refused 'following backward' 2 tail -f --reverse log
"$SEGLOG" create empty
run tail empty
status_is 'an empty log' 1

# Following, through many rolls.
"$SEGLOG" create small --segment-size 64K
seq 0 9 | "$SEGLOG" append small
start follow tail -f small -n 5
until_true lines_are follow.out 5
fact $? 'the last records come at once'
seq 10 9999 | "$SEGLOG" append small
until_true lines_are follow.out 9995
fact $? 'then what is appended, across segments'
echo late | "$SEGLOG" append small
until_true lines_are follow.out 9996
fact $? 'each as it comes'
"$SEGLOG" seal small
echo later | "$SEGLOG" append small
until_true lines_are follow.out 9997
fact $? 'also behind a seal'
kill -TERM $pid
ends $pid
status_is 'SIGTERM ends it in order' 0
{
    seq 5 9999
    printf 'late\nlater\n'
} | cmp -s - follow.out
fact $? 'every record once and in order'
is 'with totals' "$(cat follow.err)" "seglog: tail: stopped: printed 9997 records, $(($(wc -c <follow.out) - 9997)) bytes"

start quiet tail -f -q small -n 1
until_true lines_are quiet.out 1
quiet_pid=$pid
start interrupted tail --follow small --from last
until_true lines_are interrupted.out 1
fact $? '-f --from begins there'
kill -INT $pid
ends $pid
status_is 'SIGINT ends it in order' 0
echo new | "$SEGLOG" append small
until_true lines_are quiet.out 2
fact $? 'another follower goes on'
kill -TERM "$quiet_pid"
ends "$quiet_pid"
[ ! -s quiet.err ]
fact $? '-q keeps the totals back'

start until tail -f small --from last --to 10005
until_true lines_are until.out 1
seq 1 10 | "$SEGLOG" append small
ends $pid
status_is '-f ends before --to' 0
is 'with the record before it' "$("$SEGLOG" cat small --from 10004 -n 1)" "$(tail -n 1 until.out)"

start tagged tail -f small -v -n 0 --tag 6 --grep x
until_true grep -q 'following from record' tagged.err
fact $? '-v says where following begins'
printf 'ax\nay\n' | "$SEGLOG" append small --tag 6
printf 'bx\n' | "$SEGLOG" append small
printf 'cx\n' | "$SEGLOG" append small --tag 6
until_true grep -q cx tagged.out
is 'filters while following' "$(cat tagged.out)" $'ax\ncx'
kill -TERM $pid
ends $pid

start empty tail -f empty
echo first | "$SEGLOG" append empty
until_true lines_are empty.out 1
fact $? 'an empty log can be followed'
kill -TERM $pid
ends $pid
status_is 'and left' 0

start ahead tail -f empty --from 3
printf '1\n2\n3\n4\n' | "$SEGLOG" append empty
until_true lines_are ahead.out 2
is 'a number that is not there yet is waited for' "$(cat ahead.out)" $'3\n4'
kill -TERM $pid
ends $pid

start many tail -f small -v -n 0
until_true grep -q 'following from record' many.err
for i in 1 2 3; do
    seq 1 2000 | "$SEGLOG" append small &
    writers[i]=$!
done
wait "${writers[@]}"
until_true lines_are many.out 6000
fact $? 'several appenders at once are followed'
kill -TERM $pid
ends $pid

# A reader that goes away while nothing comes.
mkfifo pipe
"$SEGLOG" tail -f small -n 1 >pipe 2>gone.err &
pid=$!
jobs_started+=("$pid")
head -n 1 pipe >first
ends $pid
[ "$code" -eq 0 ] || [ "$code" -eq 141 ]
fact $? 'a reader that goes away ends it, though nothing is appended'
[ ! -s gone.err ]
fact $? 'without a word'

# A second signal ends at once, even when the output is stuck.
seq 1 100000 | "$SEGLOG" append big --sync none
mkfifo stuck
"$SEGLOG" cat big >stuck 2>/dev/null &
pid=$!
jobs_started+=("$pid")
exec 8<stuck
read -r _ <&8
kill -TERM $pid
until_true grep -q '^eventfd-count:[[:space:]]*1$' /proc/$pid/fdinfo/* # the handler has run
kill -TERM $pid
ends $pid
exec 8<&-
status_is 'a second SIGTERM ends it at once' 143
done_testing
