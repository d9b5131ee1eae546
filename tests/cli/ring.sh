#!/bin/bash
# seglog ring: every command of it, between processes.
. "$(dirname "$0")/lib.sh"
ring=$work/ring

# ---- create ----------------------------------------------------------------------------------------
refused 'a place is needed' 2 ring create
refused 'a command is needed' 2 ring
refused 'an unknown one is named' 2 ring frobnicate
refused 'sizes are powers of two' 2 ring create "$ring" --size 100K
refused 'kinds are known' 2 ring create "$ring" --kind many
refused 'work cannot be overwritten' 2 ring create "$ring" --kind work --overload overwrite
[ ! -e "$ring" ]
fact $? 'and nothing is left behind'
run ring create "$ring" --size 64K --mode 0600
status_is 'create makes a ring' 0
is 'with the mode asked for' "$(stat -c %a "$ring")" 600
refused 'what lies there is left alone' 73 ring create "$ring"
refused 'the directory must exist' 73 ring create "$work/no/ring"
for c in put get info rm; do
    refused "$c wants a ring" 66 ring $c "$work/none"
done
echo text >plain
refused 'a file that is no ring is not removed' 66 ring rm plain
[ -e plain ]
fact $? 'and stays'

# ---- put and get -----------------------------------------------------------------------------------
run ring get "$ring"
status_is 'an empty ring has nothing' 1
run_in ring put "$ring" --count < <(printf 'one\ntwo\nthree')
status_is 'put takes lines' 0
err_like 'and counts them' 'put 3 records, 11 bytes'
run ring get "$ring"
out_is 'get prints and takes them' $'one\ntwo\nthree'
run ring get "$ring"
status_is 'so they are gone' 1
printf 'a\0b\0' | run_in ring put -0 --tag 7 "$ring"
run ring get "$ring" -o json
out_like 'framing and forms are those of append and cat' '"seq":3,"time":"20[^"]*Z","tag":7,"len":1,"text":"a"'
seq 1 5 | run_in ring put "$ring"
run ring get "$ring" -n 2
out_is 'a count takes so many' $'1\n2'
run ring get "$ring" --format '%o:%s,'
out_is 'and leaves the rest' '7:3,8:4,9:5,'
printf '%s\n' x y x | run_in ring put "$ring"
run ring get "$ring" --grep y
out_is 'what is left out is taken as well' y
run ring get "$ring"
status_is 'nothing is left of it' 1
run_in ring put --whole "$ring" < <(head -c 40000 /dev/zero)
status_is 'more than half of a ring does not fit' 65

# ---- waiting ---------------------------------------------------------------------------------------
start get ring get "$ring" -n 3
getter=$pid
seq 1 3 | run_in ring put "$ring"
ends "$getter"
status_is 'get -n waits for its records' 0
is 'and prints them' "$(cat get.out)" $'1\n2\n3'
start get ring get -f "$ring"
getter=$pid
for i in 1 2 3; do echo "line $i" | run_in ring put "$ring"; done
until_true lines_are get.out 3
fact $? 'get -f prints as records come'
refused 'there is one consumer' 75 ring get "$ring"
kill -TERM "$getter"
ends "$getter"
status_is 'and ends in order when told to' 0
seq 1 20000 >numbers
start put ring put "$ring" numbers
putter=$pid
run ring get "$ring" -n 20000
ends "$putter"
status_is 'put waits for room' 0
same_bytes 'and everything comes through' out numbers
start put ring put "$ring" numbers
putter=$pid
# Records go in by batches of a quarter of the ring, so it is never quite full.
until_true sh -c "[ \$('$SEGLOG' ring info --json '$ring' | jq .used) -gt 48000 ]"
fact $? 'put fills a ring that nobody reads'
kill -TERM "$putter"
ends "$putter"
status_is 'put that waits for room can be stopped' 0
start put ring put "$ring" numbers
putter=$pid
until_true sh -c "[ \$('$SEGLOG' ring info --json '$ring' | jq .producers) -eq 1 ]"
fact $? 'info counts the producer'
refused 'there is one producer' 75 ring put "$ring" plain
refused 'a ring in use is not removed' 75 ring rm "$ring"
kill -KILL "$putter"
ends "$putter"
run ring get "$ring" -q
status_is 'a producer that was killed leaves what it had put in' 0
run ring rm "$ring"
status_is 'rm removes it' 0
[ ! -e "$ring" ]
fact $? 'altogether'

# ---- overload --------------------------------------------------------------------------------------
run ring create "$ring" --size 4K --overload drop --kind mpsc
run ring put "$ring" numbers
status_is 'what does not fit is dropped' 0
err_like 'and counted' 'records were dropped'
run ring info "$ring" --json
dropped=$(jq .dropped out)
is 'info has the same count' "$(($(jq .records out) + dropped))" 20000
run ring get "$ring"
is 'the oldest are there' "$(head -n 1 out)" 1
run ring rm "$ring"

run ring create "$ring" --size 64K --overload overwrite --kind broadcast
run ring put "$ring" numbers
run ring info "$ring" --json
is 'what gave way is counted' "$(($(jq .records out) + $(jq .overwritten out)))" 20000
is 'the kind is named' "$(jq -r '.kind + " " + .overload' out)" 'broadcast overwrite'
is 'used is between head and tail' "$(jq '.tail - .head == .used' out)" true
run ring get "$ring"
is 'the newest are there' "$(tail -n 1 out)" 20000
cp out first
run ring get "$ring"
same_bytes 'for each reader anew' out first
run ring get "$ring" --from end
status_is 'or from the end on' 1

# ---- snapshot --------------------------------------------------------------------------------------
run ring snapshot "$ring" log
status_is 'snapshot makes a log' 0
run cat log
same_bytes 'of what is in the ring' out first
run ring get "$ring"
same_bytes 'which stays as it is' out first
refused 'both places are needed' 2 ring snapshot "$ring"
run ring rm --force "$ring"

# ---- work ------------------------------------------------------------------------------------------
run ring create "$ring" --kind work --size 16K
start one ring get -f "$ring"
one=$pid
start two ring get -f "$ring"
two=$pid
run ring put "$ring" numbers
until_true sh -c "[ \$(cat one.out two.out | wc -l) -eq 20000 ]"
fact $? 'two consumers share the work'
kill "$one" "$two"
ends "$one"
ends "$two"
sort -n one.out two.out >both
same_bytes 'and each record goes to one' both numbers
done_testing
