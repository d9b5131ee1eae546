#!/bin/bash
# seglog cell and seglog table: values that processes share.
. "$(dirname "$0")/lib.sh"
cell=$work/cell
table=$work/table

# ---- cell ------------------------------------------------------------------------------------------
for family in cell table; do
    refused "a command of $family is needed" 2 $family
    refused "an unknown one is named" 2 $family frobnicate
    run $family --help
    status_is "$family --help is no failure" 0
    out_like 'and has examples' 'Examples:'
done
refused 'a place is needed' 2 cell get
refused 'there is no cell yet' 66 cell get "$cell"
refused 'nor one to watch' 66 cell watch "$cell"
run cell set "$cell" hello --mode 0600 --schema 7
status_is 'set makes a cell' 0
is 'with the mode asked for' "$(stat -c %a "$cell")" 600
run cell get "$cell"
out_is 'get prints the value' hello
head -c 100000 /dev/urandom >bytes
run_in cell set "$cell" <bytes
status_is 'without a value it is standard input' 0
run cell get "$cell" -o raw
same_bytes 'byte by byte' out bytes
run cell get "$cell" -o hex
is 'or in digits' "$(head -c 40 out)" "$(head -c 20 bytes | od -An -v -tx1 | tr -d ' \n')"
run cell set "$cell" 'a"b'
run cell get -o json "$cell"
out_is 'or as JSON' '{"version":3,"len":3,"text":"a\"b"}'
refused 'another schema is refused' 2 cell get --schema 8 "$cell"
run cell get --schema 7 "$cell"
status_is 'and this one is not' 0
refused 'one value only' 2 cell set "$cell" a b
refused 'a form that is none' 2 cell get "$cell" -o xml
refused 'a directory that is not there' 73 cell set "$work/no/cell" a
echo text >plain
refused 'another file is no cell' 66 cell get plain
refused 'and is not made one' 73 cell set plain x
is 'but stays' "$(cat plain)" text
run cell set "$cell" ''
run cell get "$cell"
is 'an empty value is one' "$code $(wc -c <out)" '0 1'

start watch cell watch "$cell"
watcher=$pid
until_true lines_are watch.out 1
for i in 1 2 3; do
    run cell set "$cell" "value $i"
    until_true lines_are watch.out $((i + 1))
done
is 'watch prints each value' "$(cat watch.out)" $'\nvalue 1\nvalue 2\nvalue 3'
kill -TERM "$watcher"
ends "$watcher"
status_is 'and ends in order when told to' 0
start watch cell watch --new -n 1 "$cell"
watcher=$pid
until_true sh -c "
    grep -q cell /proc/$watcher/maps && ! grep -q '^State:.*R' /proc/$watcher/status"
# What was set before it looked is not new: one after the other until it has seen one.
until_true sh -c "'$SEGLOG' cell set '$cell' again; ! kill -0 $watcher ||
    grep -q '^State:[[:space:]]*Z' /proc/$watcher/status"
ends "$watcher"
is 'watch --new -n 1 prints the next one' "$code $(cat watch.out)" '0 again'
"$SEGLOG" cell get "$cell" >/dev/full 2>err
code=$?
status_is 'a full disk behind standard output is noticed' 73

# ---- table -----------------------------------------------------------------------------------------
refused 'there is no table yet' 66 table get "$table" a
refused 'a key is needed' 2 table get "$table"
run table put "$table" alice 42 --shards 4 --room 1000
status_is 'put makes a table' 0
run table stat --json "$table"
is 'with the shards asked for' "$(jq -c '[.shards, .keys]' out)" '[4,1]'
run table get "$table" alice
out_is 'get prints the value' 42
run table get "$table" bob
is 'a key that is not there is 1' "$code $(cat out err)" '1 '
run table put "$table" alice 43 --new
status_is 'put --new leaves a key as it is' 1
run table get "$table" alice
out_is 'indeed' 42
run_in table put "$table" bytes <bytes
run table get "$table" bytes -o raw
same_bytes 'a value may be standard input' out bytes
run table del "$table" bytes alice nobody
status_is 'del removes' 0
run table del "$table" bytes
status_is 'but once' 1
run table ls "$table"
status_is 'so the table is empty' 1
seq 1 20000 | sed 's/.*/key &\tvalue &/' >lines
run_in table put "$table" <lines
status_is 'put takes lines' 0
run table ls "$table"
sort out >sorted
sort lines >wanted
same_bytes 'and ls prints them' sorted wanted
run table ls --keys "$table"
is 'or the keys alone' "$(sort -u out | wc -l) $(grep -c value out)" '20000 0'
run table ls --keys "$table" -o json
is 'in JSON, too' "$(jq -c 'keys' out | sort -u)" '["key"]'
run_in table put "$table" < <(printf 'a\tb\nc\n')
status_is 'a line without a TAB is bad data' 65
err_like 'and is named' 'line 2'
run table get "$table" a -o json
out_is 'those before it are in' '{"key":"a","len":1,"text":"b"}'
refused 'another schema is refused' 2 table get --schema 8 "$table" a
refused 'shards are a power of two' 2 table put "$work/other" a b --shards 3
refused 'another file is no table' 66 table ls plain
refused 'nor is a cell' 66 table get "$cell" a
refused 'nor a table a cell' 66 cell get "$table"
run table stat "$table"
out_like 'stat is for people too' '^keys +20001 in'
for i in 1 2 3 4; do
    seq 1 500 | sed "s/.*/w$i &\t&/" | "$SEGLOG" table put "$table" &
done
wait
run table stat --json "$table"
is 'several may put at once' "$(jq .keys out)" 22001
# ---- a table with a log ------------------------------------------------------------------------------
sure=$work/sure
run table put "$sure" --log "$sure.log" alice 42
status_is 'a table may have a log of its changes' 0
seq 1 300 | sed 's/.*/key &\tvalue &/' | "$SEGLOG" table put "$sure" --log "$sure.log"
refused 'which every change must name' 2 table put "$sure" bob 1
refused 'and no other' 2 table put "$sure" --log "$sure.log2" bob 1 --schema 3
run table get "$sure" alice
out_is 'reading needs none' 42
run table stat --json "$sure"
is 'stat says so' "$(jq -c '[.keys, .logged]' out)" '[301,true]'
printf 'x' | dd of="$sure" bs=1 seek=70 conv=notrunc status=none
refused 'a damaged file is named' 65 table get "$sure" alice
run table rebuild "$sure" --log "$sure.log"
status_is 'and made anew from the log' 0
run table del "$sure" --log "$sure.log" alice
run table checkpoint "$sure" --log "$sure.log"
status_is 'a checkpoint shortens the log' 0
rm "$sure"
run table ls "$sure" --log "$sure.log" --keys
is 'from which it is made again' "$(wc -l <out) $(grep -c alice out)" '300 0'
refused 'the log must be named' 2 table checkpoint "$sure"

case $(stat -f -c %T "$work") in
tmpfs) refused 'what cannot be made durable is said' 69 table put --sync "$table" a c ;;
*)
    run table put --sync "$table" a c
    status_is 'and made durable' 0
    run cell set --durable "$work/kept" a
    status_is 'as cells are' 0
    ;;
esac
done_testing
