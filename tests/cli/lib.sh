# Facts about the command, in TAP. To be sourced by a script that was given the command's path:
#
#     . "$(dirname "$0")/lib.sh"
#     run cat "$log"
#     status_is 'cat of an empty log finds nothing' 1
#     done_testing
#
# The script runs in a directory of its own, which goes away with it. What is waited for has a
# deadline; nothing sleeps for a fixed time.
# shellcheck shell=bash

case ${1:?usage: "$0" PATH-OF-SEGLOG} in
/*) SEGLOG=$1 ;;
*) SEGLOG=$PWD/$1 ;;
esac
export LC_ALL=C
unset NO_COLOR POSIXLY_CORRECT

facts=0
failures=0
last=nothing
code=-1
jobs_started=()
work=$(mktemp -d "${TMPDIR:-/tmp}/seglog-cli-XXXXXX") || exit 1
cd "$work" || exit 1

tidy() {
    local pid
    [ $BASHPID -eq $$ ] || return # a subshell that was killed before it became the command
    for pid in "${jobs_started[@]}"; do
        kill -KILL "$pid" 2>/dev/null
    done
    cd / && chmod -R u+rwx "$work" && rm -rf "$work"
}
trap tidy EXIT

# fact RESULT TEXT: 0 is ok. What the last run said is shown when it is not.
fact() {
    facts=$((facts + 1))
    if [ "$1" -eq 0 ]; then
        printf 'ok %d - %s\n' $facts "$2"
        return
    fi
    failures=$((failures + 1))
    printf 'not ok %d - %s\n' $facts "$2"
    printf '#   %s\n' "last: $last (exit $code)"
    head -c 600 err 2>/dev/null | sed 's/^/#   err: /'
    head -c 300 out 2>/dev/null | cat -v | sed 's/^/#   out: /'
}

# The command; its output goes to files out and err, its exit status to $code.
run() {
    last=$*
    "$SEGLOG" "$@" >out 2>err </dev/null
    code=$?
}

# The same with the standard input of the caller.
run_in() {
    last=$*
    "$SEGLOG" "$@" >out 2>err
    code=$?
}

status_is() {
    [ "$code" -eq "$2" ]
    fact $? "$1"
}

# is FACT GOT WANT
is() {
    [ "$2" = "$3" ]
    local result=$?
    fact $result "$1"
    if [ $result -ne 0 ]; then
        printf '#   got:  %s\n#   want: %s\n' "$2" "$3" | head -c 800
    fi
}

out_is() {
    is "$1" "$(cat out)" "$2"
}

err_is_empty() {
    [ ! -s err ]
    fact $? "$1"
}

err_like() {
    grep -Eq -e "$2" err
    fact $? "$1"
}

out_like() {
    grep -Eq -e "$2" out
    fact $? "$1"
}

# same_bytes FACT FILE FILE
same_bytes() {
    cmp -s "$2" "$3"
    fact $? "$1"
}

# refused FACT STATUS ARGS...: this exit status, nothing on stdout, one line of the form on stderr.
refused() {
    local text=$1 want=$2
    shift 2
    run "$@"
    [ "$code" -eq "$want" ] && [ ! -s out ] && [ "$(wc -l <err)" -eq 1 ] &&
        grep -Eq "^seglog: [^:]+: .+" err
    fact $? "$text"
}

# start NAME ARGS...: the command in the background, output to NAME.out and NAME.err; sets $pid.
start() {
    local name=$1
    shift
    last="$* &"
    : >"$name.out"
    : >"$name.err" # now: what an earlier one of this name said must not be taken for its words
    "$SEGLOG" "$@" >"$name.out" 2>"$name.err" </dev/null &
    pid=$!
    jobs_started+=("$pid")
}

# until_true COMMAND...: true as soon as it is, false after 100 s: a disk that is busy takes long.
until_true() {
    local end=$((SECONDS + 100))
    until "$@" 2>/dev/null; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.01
    done
}

# ends PID: wait for it, at most so long; its exit status to $code.
ends() {
    until_true gone "$1" || kill -KILL "$1"
    wait "$1"
    code=$?
}
gone() {
    ! kill -0 "$1" || grep -q '^State:[[:space:]]*Z' "/proc/$1/status"
}

lines_are() {
    [ "$(wc -l <"$1")" -eq "$2" ]
}

done_testing() {
    printf '1..%d\n' $facts
    [ $failures -eq 0 ]
    exit
}
