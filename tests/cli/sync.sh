#!/bin/bash
# Levels of durability: what is kept, and what is durable when.
. "$(dirname "$0")/lib.sh"

field() {
    "$SEGLOG" info --json "$1" | jq -r "$2"
}

# A file system that a power cut empties keeps no such promise.
if [ "$("$SEGLOG" doctor --json . | jq .volatile)" = true ]; then
    "$SEGLOG" create log
    for level in record interval:10ms; do
        refused "no log at $level where nothing lasts" 69 create new --sync $level
        refused 'none is made by appending either' 69 append new --sync $level
        [ ! -e new ] || [ -z "$(ls new)" ]
        fact $? 'and nothing is left behind'
        refused "nor is anything appended at $level" 69 append log --sync $level
    done
    done_testing
fi

# What is kept.
for level in none sealed interval:1ms interval:100ms interval:1h record; do
    "$SEGLOG" create "keep-$level" --sync "$level"
    is "$level is kept" "$(field "keep-$level" .sync)" "$level"
done
"$SEGLOG" create other --sync interval:60s
is 'an interval is shown in its largest unit' "$(field other .sync)" interval:1m
"$SEGLOG" create odd --sync interval:1.5ms
is 'that keeps it whole' "$(field odd .sync)" interval:1500us
run info odd
out_like 'to people too' '^sync +interval:1500us$'

# durable LOG: how many records are durable, and how many there are.
durable() {
    field "$1" '"\(.durable_seq) of \(.next_seq)"'
}
all_durable() { # LOG N
    [ "$(durable "$1")" = "$2 of $2" ]
}

# record: durable when the command ends, whoever asked for it.
run_in append rec --sync record < <(seq 1 1000)
is 'append --sync record makes a log of that level' "$(field rec .sync)" record
is 'and ends when all is durable' "$(durable rec)" '1000 of 1000'
run_in append rec < <(seq 1 1000)
is 'as every append to that log does' "$(durable rec)" '2000 of 2000'
run_in append rec --sync none < <(seq 1 10)
status_is 'but one that asks for less' 0
is 'gets less' "$(durable rec)" '2000 of 2010'
run_in append rec < <(echo x)
is 'until the next one, which takes all before it along' "$(durable rec)" '2011 of 2011'
run append rec
status_is 'nothing appended is nothing to wait for' 0
"$SEGLOG" create plain --sync none
run_in append plain < <(seq 1 10)
is 'a log of level none waits for nobody' "$(durable plain)" '0 of 10'
run_in append plain --sync record < <(seq 1 10)
is 'but for who asks' "$(durable plain)" '20 of 20'
is 'and stays what it is' "$(field plain .sync)" none
run_in append rated --sync record --rate 1000/s < <(seq 1 30)
is 'also at a rate' "$(durable rated)" '30 of 30'
"$SEGLOG" create small --sync record --segment-size 64K
run_in append small < <(seq 1 20000)
is 'also over many segments' "$(durable small)" '20000 of 20000'
"$SEGLOG" create short --segment-size 64K
run_in append short --sync record < <({ seq 1 3; head -c 20000 /dev/zero; })
status_is 'bad data' 65
is 'leave durable what came before them' "$(durable short)" '3 of 3'
yes 'a line that comes fast' | head -n 300000 >lines
cat lines | "$SEGLOG" append pipe --sync record
is 'a full pipe is durable too' "$(durable pipe)" '300000 of 300000'
"$SEGLOG" cat pipe | cmp -s - lines
fact $? 'and whole'

# feed LOG LEVEL: an appender that reads from descriptor 7.
feed() {
    rm -f pipe.fifo && mkfifo pipe.fifo
    "$SEGLOG" append "$1" --sync "$2" <pipe.fifo >/dev/null 2>feed.err &
    pid=$!
    jobs_started+=("$pid")
    exec 7>pipe.fifo
}
for level in record interval:1ms; do
    feed "fed-$level" $level
    for n in 1 2 3; do
        echo $n >&7
        until_true all_durable "fed-$level" $n
        fact $? "$level: line $n is durable while the next is waited for"
    done
    exec 7>&-
    ends $pid
    status_is 'the end of the input ends it' 0
done
run_in append last --sync interval:1h < <(seq 1 5)
is 'interval: the end does not wait for the hour' "$(durable last)" '5 of 5'
feed stopped record
echo 1 >&7
until_true all_durable stopped 1
echo 2 >&7
kill -TERM $pid
ends $pid
exec 7>&-
status_is 'stopped in order' 0
is 'all that was counted is durable' "$(durable stopped)" \
    "$(sed -n 's/^appended \([0-9]*\) .*/\1 of \1/p' feed.err)"
done_testing
