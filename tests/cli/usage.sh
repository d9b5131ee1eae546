#!/bin/bash
# Options, help, wrong uses: the manners that every command has.
. "$(dirname "$0")/lib.sh"

commands='create append cat tail info verify seal doctor bench'

run --help
status_is 'help is no failure' 0
for c in $commands; do
    out_like "help lists $c" "^  $c "
done
run --version
out_like 'the version is told' '^seglog [0-9]+\.[0-9]+\.[0-9]+$'
refused 'no command is a wrong use' 2
refused 'an unknown command is a wrong use' 2 frobnicate
refused 'an unknown option before a command is a wrong use' 2 --frobnicate

for c in stat top; do
    refused "$c is not there yet" 2 "$c" x
    err_like "$c says that it is for later" 'not in this release'
    "$SEGLOG" --help | grep -q "^  $c "
    [ $? -ne 0 ]
    fact $? "help does not promise $c"
done

for c in $commands; do
    run "$c" --help
    status_is "$c --help is no failure" 0
    out_like "$c --help has examples" 'Examples:'
    out_like "$c --help tells exit statuses" 'Exit status:'
    err_is_empty "$c --help keeps stderr empty"
    run "$c" --version
    out_like "$c --version tells the version" '^seglog [0-9]'
    refused "$c refuses an unknown long option" 2 "$c" log --frobnicate
    err_like "$c names it" "^seglog: $c: --frobnicate: .*--help"
    refused "$c refuses an unknown short option" 2 "$c" log -x
    err_like "$c names that too" "^seglog: $c: -x: "
    refused "$c refuses a colour that is none" 2 "$c" --color=red log
    "$SEGLOG" "$c" --help >/dev/full 2>err
    code=$?
    status_is "$c --help notices a full disk" 73
done
[ ! -e log ]
fact $? 'wrong uses leave nothing behind'

for c in create append cat tail info verify seal; do
    refused "$c needs a place" 2 "$c"
    refused "$c refuses an empty place" 2 "$c" ''
done
for c in create cat tail info verify seal doctor; do
    refused "$c takes one place" 2 "$c" one two
done
refused 'an option without its value is a wrong use' 2 cat log -n
err_like 'and is named' '^seglog: cat: -n: a value is needed'
refused 'a long option without its value is a wrong use' 2 cat log --from
refused 'a value for an option that takes none is a wrong use' 2 cat log --reverse=1

# What later releases have is refused, not ignored, and not in the help.
refused 'append --pcap is not there yet' 2 append log --pcap
refused 'cat -o pcap is not there yet' 2 cat log -o pcap
refused 'cat --pace is not there yet' 2 cat log --pace 1x
for c in $commands; do
    "$SEGLOG" "$c" --help | grep -Eiq -e 'pcap|--pace'
    [ $? -ne 0 ]
    fact $? "$c --help does not promise what is not there"
done

# Order: options and arguments may be mixed, -- ends options, long options may be shortened.
printf 'a\nb\nc\n' | "$SEGLOG" append log
run cat -n 2 log
out_is 'options before the place' $'a\nb'
run cat log -n 2
out_is 'options after the place' $'a\nb'
run cat --from 1 log -n1 -q
out_is 'options on both sides' 'b'
run cat -n1 -- log
out_is 'two dashes end the options' 'a'
run cat --rev -n1 log
out_is 'a long option may be shortened' 'c'
run cat -qvn1 log
out_is 'short options may be joined' 'a'
run cat --from=-1 log
out_is 'a negative value behind =' 'c'
printf 'x\n' | "$SEGLOG" append -- -dash
run info -- -dash
status_is 'a place may begin with a dash' 0
run cat -v log
err_like '-v says how much' 'printed 3 records, 3 bytes'
run cat -v -q log
err_is_empty '-q wins over -v'

# Colours.
run info log
! grep -q $'\033' out
fact $? 'no colours into a file'
run info --color=always log
grep -q $'\033' out
fact $? '--color=always means it'
NO_COLOR=1 run info --color=always log
grep -q $'\033' out
fact $? '--color=always wins over NO_COLOR'
run cat nope --color always
err_like 'and holds for failures' $'\033'
if script -qec true /dev/null >/dev/null 2>&1; then
    script -qec "'$SEGLOG' info log" /dev/null >screen </dev/null
    grep -q $'\033' screen
    fact $? 'colours on a terminal'
    NO_COLOR=1 script -qec "'$SEGLOG' info log" /dev/null >screen </dev/null
    ! grep -q $'\033' screen
    fact $? 'none with NO_COLOR'
    script -qec "'$SEGLOG' info log --color=never" /dev/null >screen </dev/null
    ! grep -q $'\033' screen
    fact $? 'none with --color=never'
fi

# One line, whatever the name holds.
refused 'a name with a newline keeps the failure on one line' 66 cat $'no\nsuch'
done_testing
