#!/bin/bash
# Making logs.
. "$(dirname "$0")/lib.sh"

run create a
status_is 'a missing directory is made' 0
err_is_empty 'without a word'
[ ! -s out ]
fact $? 'and nothing on stdout'
run cat a
status_is 'a new log holds nothing' 1
mkdir empty
run create empty
status_is 'an empty directory will do' 0
run create -v verbose
err_like '-v says it' 'created'
refused 'not over a log' 73 create a
err_like 'which is named' '^seglog: create: a: '
mkdir busy && touch busy/file
refused 'not among other files' 73 create busy
touch file
refused 'not over a file' 73 create file
refused 'not below a missing directory' 73 create no/such
refused 'not below a file' 73 create file/below

field() {
    "$SEGLOG" info --json "$1" | jq -r "$2"
}
is 'segments are 64 MiB' "$(field a .segment_size)" 67108864
is 'the sync level is sealed' "$(field a .sync)" sealed
run create small --segment-size 64K --sync none --mode 0600
is '--segment-size is kept' "$(field small .segment_size)" 65536
is '--sync is kept' "$(field small .sync)" none
printf 'x\n' | "$SEGLOG" append small
is '--mode is that of the files' "$(stat -c %a small/*.seg | sort -u)" 600
is 'and of the directory, with execute bits' "$(stat -c %a small)" 700
run create --segment-size=1m meg
is 'sizes in small letters' "$(field meg .segment_size)" 1048576

for size in 0 1 32K 2G 100K 65537 -64K 64KB K 18446744073709551616 ''; do
    refused "a segment size of '$size' is refused" 2 create new --segment-size "$size"
done
for level in full NONE 1 '' interval interval: interval:5 interval:999us interval:3601s record:1s; do
    refused "a sync level '$level' is refused" 2 create new --sync "$level"
done
for mode in 0 8 1777 rw 06400 -1 ''; do
    refused "a mode '$mode' is refused" 2 create new --mode "$mode"
done
[ ! -e new ]
fact $? 'a wrong use makes nothing'

# A limit on file sizes is like a full disk; nothing is left behind.
(
    ulimit -f 16
    "$SEGLOG" append limited <<<x >out 2>err
)
code=$?
last='append under a limit'
status_is 'no room is 73' 73
[ "$(wc -l <err)" -eq 1 ]
fact $? 'in one line'
printf 'x\n' | "$SEGLOG" append limited
run cat limited
out_is 'and appending works again when there is room' x

if [ "$(id -u)" -eq 0 ] && setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$SEGLOG" 2>/dev/null; then
    as_nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
    chmod 755 "$work"
elif [ "$(id -u)" -ne 0 ]; then
    as_nobody=
else
    as_nobody=skip
fi
if [ "$as_nobody" != skip ]; then
    mkdir locked && chmod 555 locked
    $as_nobody "$SEGLOG" create locked/log >out 2>err
    code=$?
    status_is 'no permission is 77' 77
    mkdir -m 000 hidden
    $as_nobody "$SEGLOG" cat hidden >out 2>err
    code=$?
    status_is 'for readers too' 77
    printf 'x\n' >secret && chmod 000 secret
    mkdir -m 777 open
    $as_nobody "$SEGLOG" append open/log secret >out 2>err
    code=$?
    status_is 'and for a FILE that may not be read' 77
    [ ! -e open/log ]
    fact $? 'before anything is made'
fi
done_testing
