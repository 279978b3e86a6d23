#!/bin/sh
trap 'echo "ci.sh: came here cut short" >&2; exit 5' 0
# ci.sh: follows a rollout in a CI job, and exits with what became of it. See --help.
#
# It shows a stream, which is for people, and takes its exit status from the verdict alone: the stream
# may be cut, or come from somewhere else, or be late. There is one place from which it exits with 0,
# and one answer that leads there.
#
# Needs a POSIX shell, curl 7.58 or newer, cat, cut, date, grep, mktemp, mv, rm, sed, sleep, tail and tr.

usage() {
  cat <<'END'
usage: ci.sh --server URL --namespace NS [WHICH] [OPTION]... KIND/NAME

Follows a rollout of a workload, such as deployment/web, statefulset/db or job/migrate: shows its progress
and the logs of its new pods, and exits with what became of it.

  -s, --server URL       where rollcast is; or ROLLCAST_SERVER
  -n, --namespace NS     the workload's namespace; or ROLLCAST_NAMESPACE

Which rollout (else the one that runs when ci.sh starts, or the last one):
      --deploy ID        the one for which the annotation rollcast.dev/deploy became ID
      --revision N       the one with this revision
      --generation G     the one of this generation of the workload
      --after TIME       one that began then or later: 2026-11-22T14:02:11Z
      --image IMAGE      only with one of the others: it must set this image, too

      --timeout TIME     how long to wait: 90s, 10m, 1h; 30m if not given, which is
                         longer than a rollout's own deadline, mostly 10m
      --logs WHICH       new, all, failed or none: whose log lines are shown; new if not given
      --token-file FILE  holds the token, read again for each request; or ROLLCAST_TOKEN_FILE, or the
                         token itself in ROLLCAST_TOKEN
      --ca-file FILE     certificates to trust; curl's own variables count, too: CURL_CA_BUNDLE,
                         https_proxy, no_proxy
  -h, --help             this

Exit status: 0 it succeeded; 1 it failed, timed out, or the workload was deleted; 2 wrong usage, no such
workload, or not allowed; 3 --timeout was over while it still ran; 4 a newer rollout took its place; 5 there
is no answer that could be relied on. 129, 130, 141 and 143 after a signal. Nothing but 0 is a success.
END
}

# The longest that a request waits for news: under the 30 s that proxies give it, mostly.
longest_wait=25
# Seconds that a request may take beyond what it waits.
slack=15
# Seconds between tries, and at most.
first_pause=1
last_pause=10
# Seconds that a server may ask us to stay away.
longest_away=60
# Seconds for which a refusal must last: an API server that has just started refuses everybody for a moment,
# and a proxy that has just lost its backend may say that nothing is there. Once rollcast has answered, such a
# proxy is tried again until --timeout.
our_refusal=2
other_refusal=10
# Fifths of a second that the stream may take to end when the verdict is there.
last_words=25
# Seconds between looks whether the shell that was started still lives.
look=2
# Seconds that what runs beside it may take to end by itself: it looks every second.
grace=3
# Blocks of 512 or 1024 bytes that an answer may have.
most_blocks=4096

say() {
  printf 'ci.sh: %s\n' "$*" >&2
}

wrong() {
  say "$*; --help tells what there is"
  exit 2
}

# Text of others as one short line that starts no command of a CI system and moves no terminal.
plain() {
  tr '\n' ' ' | tr -cd '\040-\176' | sed 's/##*/#/g; s/^\(.\{300\}\).*/\1.../; s/ *$//'
}

# 90s, 10m or 1h as seconds in $seconds.
to_seconds() {
  case $1 in
    *h) seconds=${1%h} unit=3600 ;;
    *m) seconds=${1%m} unit=60 ;;
    *) seconds=${1%s} unit=1 ;;
  esac
  case $seconds in
    '' | *[!0-9]* | ??????*) return 1 ;;
  esac
  # A leading zero would make it octal.
  while :; do
    case $seconds in
      0?*) seconds=${seconds#0} ;;
      *) break ;;
    esac
  done
  seconds=$((seconds * unit))
  [ "$seconds" -ge 1 ] && [ "$seconds" -le 86400 ]
}

# One of a Kubernetes object's names: no curl takes it for a way to somewhere else, as it does `..`.
is_name() {
  case $1 in
    '' | *[!a-z0-9.-]* | [.-]* | *[.-] | *..*) return 1 ;;
  esac
}

read_arguments() {
  server=${ROLLCAST_SERVER:-} namespace=${ROLLCAST_NAMESPACE:-} target='' timeout=30m logs=new
  deploy='' revision='' generation='' after='' image='' ca_file=''
  token_file=${ROLLCAST_TOKEN_FILE:-} token=${ROLLCAST_TOKEN:-}
  # Not for the environment of curl.
  unset ROLLCAST_TOKEN
  while [ $# -gt 0 ]; do
    option=$1
    shift
    case $option in
      --) continue ;;
      --*=*)
        value=${option#*=}
        option=${option%%=*}
        ;;
      -h | --help)
        usage
        exit 0
        ;;
      -?*)
        [ $# -gt 0 ] || wrong "$option needs a value"
        value=$1
        shift
        ;;
      *)
        [ -z "$target" ] || wrong "one workload is followed, not both $target and $option"
        target=$option
        continue
        ;;
    esac
    case $option in
      --token) wrong "a token on the command line can be read by all on this machine: use --token-file" ;;
    esac
    # A pin that comes out empty, of a variable that is not set, would be no pin.
    [ -n "$value" ] || wrong "$option is empty"
    case $option in
      -s | --server) server=$value ;;
      -n | --namespace) namespace=$value ;;
      --deploy) deploy=$value ;;
      --revision) revision=$value ;;
      --generation) generation=$value ;;
      --after) after=$value ;;
      --image) image=$value ;;
      --timeout) timeout=$value ;;
      --logs) logs=$value ;;
      --token-file) token_file=$value ;;
      --ca-file) ca_file=$value ;;
      *) wrong "there is no option $option" ;;
    esac
  done
}

check_arguments() {
  case $server in
    '') wrong "--server is missing" ;;
    http://?* | https://?*) ;;
    *) wrong "--server must begin with http:// or https://" ;;
  esac
  case $server in
    *[!A-Za-z0-9._~:/%\[\]-]*) wrong "--server must be a plain address, without user, query or fragment" ;;
  esac
  while :; do
    case $server in
      */) server=${server%/} ;;
      *) break ;;
    esac
  done
  [ -n "$namespace" ] || wrong "--namespace is missing"
  is_name "$namespace" || wrong "--namespace is no name of a namespace"
  [ -n "$target" ] || wrong "a workload is missing, such as deployment/web"
  kind=${target%%/*} name=${target#*/}
  [ "$kind/$name" = "$target" ] || wrong "a workload is written KIND/NAME, such as deployment/web"
  # As kubectl does, which takes Deployment for deployment. A busybox may know no classes of letters.
  # shellcheck disable=SC2018,SC2019
  kind=$(printf '%s' "$kind" | tr A-Z a-z)
  is_name "$kind" || wrong "a workload is written KIND/NAME, such as deployment/web"
  is_name "$name" || wrong "a workload is written KIND/NAME, such as deployment/web"
  case $logs in
    new | all | failed | none) ;;
    *) wrong "--logs must be new, all, failed or none" ;;
  esac
  case $timeout in
    *[0-9]) timeout=${timeout}s ;;
  esac
  to_seconds "$timeout" || wrong "--timeout must be from 1s to 24h, such as 90s, 10m or 1h"
  [ -z "$token_file" ] || read_token || wrong "--token-file cannot be read, or holds no token"
  is_token "$token" || wrong "the token has characters that no token has"
  command -v curl >/dev/null 2>&1 || wrong "curl is not there"
  at=$server/api/v1/namespaces/$namespace/$kind/$name
}

is_token() {
  case $1 in
    *[!A-Za-z0-9._~+/=-]*) return 1 ;;
  esac
}

# The token as the file has it now: Kubernetes renews those that it puts into pods.
read_token() {
  fresh=''
  [ -r "$token_file" ] || return 1
  IFS= read -r fresh <"$token_file" || :
  [ -n "$fresh" ] && is_token "$fresh" && token=$fresh
}

# What curl is told on its standard input, where nobody sees it: the token, and an id to go on behind.
credentials() {
  [ -z "$token_file" ] || read_token || :
  [ -z "$token" ] || printf 'header = "Authorization: Bearer %s"\n' "$token"
  [ -z "$1" ] || printf 'header = "Last-Event-ID: %s"\n' "$1"
}

# curl for the path $1 with the pins, and what else is given. Its -G makes a query of the data.
request() {
  path=$1
  shift
  held=''
  [ -s "$dir/held" ] && IFS= read -r held <"$dir/held"
  # Words without spaces: each is a pin.
  # shellcheck disable=SC2086
  for pin in "deploy=$deploy" "revision=$revision" "generation=$generation" "after=$after" "image=$image" \
    $held; do
    [ -z "${pin#*=}" ] || set -- "$@" --data-urlencode "$pin"
  done
  [ -z "$ca_file" ] || set -- "$@" --cacert "$ca_file"
  exec curl -q -K - -sS -g -G --connect-timeout 10 "$@" "$at/$path"
}

# Sleeps so that a signal is heard at once.
rest() {
  sleep "$1" &
  busy=$!
  wait "$busy" || :
  busy=''
}

# Asks for the verdict: $said is over, running, refused, never or trouble; $why tells more, and $lasts for how
# long a refusal must last.
ask() {
  : >"$dir/answer"
  : >"$dir/head"
  credentials '' | {
    # No answer of ours is that long: what is longer is an error of writing for curl.
    trap '' XFSZ 2>/dev/null
    ulimit -f "$most_blocks" 2>/dev/null
    request verdict -H 'Accept: text/plain' --max-time "$(($1 + slack))" --data-urlencode "wait=${1}s" \
      -D "$dir/head" -o "$dir/answer" -w '%{http_code}'
  } >"$dir/code" 2>"$dir/error" &
  busy=$!
  echo "$busy" >"$dir/asking"
  curl_status=0
  wait "$busy" || curl_status=$?
  busy=''
  : >"$dir/asking"
  code=$(cat "$dir/code")
  away=$(sed -n 's/^[Rr][Ee][Tt][Rr][Yy]-[Aa][Ff][Tt][Ee][Rr]: *\([0-9]\{1,4\}\).*/\1/p' "$dir/head" | tail -n 1)
  judge
}

judge() {
  outcome='' why=$(plain <"$dir/error") lasts=$other_refusal
  case $curl_status in
    0) ;;
    1 | 2 | 3)
      said=refused why="curl cannot use this address: $why" lasts=0
      return
      ;;
    # Who is not trusted will not be trusted later.
    58 | 59 | 60 | 66 | 77)
      said=never
      return
      ;;
    *)
      said=trouble why=${why:-"curl ended with $curl_status"}
      return
      ;;
  esac
  last=$(tail -n 1 "$dir/answer" | tr -cd '\040-\176')
  # An answer that was cut does not end with a line end.
  [ -z "$(tail -c 1 "$dir/answer" | tr -d '\000')" ] || last=''
  ! grep -q '"urn:rollcast:problem:' "$dir/answer" || lasts=$our_refusal
  about=''
  case "$last " in
    "RESULT outcome="*" rollout=$namespace/"*"/$name "*)
      about=result outcome=${last#RESULT outcome=}
      outcome=${outcome%% *}
      ;;
    "RUNNING rollout=$namespace/"*"/$name "*) about=running ;;
  esac
  case $code:$about:$outcome in
    200:result:succeeded) said=over ;;
    424:result:succeeded) said=trouble why="an answer that contradicts itself" ;;
    424:result:?*) said=over ;;
    429:running:) said=running ;;
    400:*) said=refused why="the request is wrong (400)$(detail)" ;;
    401:*) said=refused why="who you are is not known (401)$(detail)" ;;
    403:*) said=refused why="refused (403)$(detail)" ;;
    404:*) said=refused why="not found (404)$(detail)" ;;
    3??:*) said=refused why="sent elsewhere ($code); --server must be the address of rollcast itself" ;;
    405:* | 406:* | 410:* | 411:* | 413:* | 414:* | 431:*) said=refused why="refused ($code)$(detail)" ;;
    2??:*) said=trouble why="an answer that is none of rollcast ($code)" ;;
    *) said=trouble why="an answer of $code$(detail)" ;;
  esac
  # Who was let through once is refused by what stands between us only for a while.
  [ -z "$met" ] || [ "$said $lasts" != "refused $other_refusal" ] || said=trouble
}

# What a problem of rollcast says; nothing of an answer that somebody else made.
detail() {
  sed "s/\\\\\"/'/g" "$dir/answer" | sed -n 's/.*"detail":"\([^"]*\)".*/: \1/p' | plain
}

# It is the rollout of the first answer that is asked for from then on, by all that tells it from others and
# was not given: another one that begins meanwhile is another one, also for a server that was started since.
# What such a server only infers is no knowledge.
hold() {
  case "$last " in
    *" pinned=inferred "*) return 0 ;;
  esac
  held=''
  [ -s "$dir/held" ] && IFS= read -r held <"$dir/held"
  known=$held
  for word in $last; do
    case $word in
      generation=[1-9]*) [ -n "$generation" ] || hold_word generation "$word" ;;
      revision=?*) [ -n "$revision" ] || hold_word revision "$word" ;;
      uid=?*) hold_word uid "$word" ;;
    esac
  done
  [ "$known" = "$held" ] || { printf '%s\n' "$known" >"$dir/held.new" && mv "$dir/held.new" "$dir/held"; }
}

# Whether more than a generation that we took up ourselves says which rollout is meant: by that alone a server
# that was started since may take another one for it.
is_named() {
  [ -z "$generation$revision" ] || return 0
  held=''
  [ -s "$dir/held" ] && IFS= read -r held <"$dir/held"
  case " $held" in
    *" revision="*) ;;
    *) return 1 ;;
  esac
}

# Adds a word to $known that has none of its name yet: the first counts.
hold_word() {
  case " $known" in
    *" $1="*) ;;
    *) known="$known $2" ;;
  esac
}

# Shows the lines of a stream without their ids, and remembers the last id. A line whose end did not come
# is not shown: it comes again. What has no id is not ours.
show() {
  latest='' came=''
  while IFS= read -r line; do
    id=${line%% *}
    case $id in
      -) ;;
      *[!0-9a-z-]* | '') continue ;;
      *-*-*) latest=$id ;;
      *) continue ;;
    esac
    came=yes
    [ "$id" != "$line" ] || continue
    line=${line#* }
    # A reader may be slow, and a disk full for a moment.
    printf '%s\n' "$line" 2>/dev/null || { sleep 1 && printf '%s\n' "$line" 2>/dev/null; } || {
      say "what is shown cannot be written any more; the verdict is still waited for"
      : >"$dir/mute"
      break
    }
    case $line in
      "RESULT outcome="*) : >"$dir/told" ;;
    esac
  done
  [ -z "$latest" ] || printf '%s\n' "$latest" >"$dir/id"
  [ -z "$came" ] || : >"$dir/came"
}

# Whether nobody waits for the stream any more. $$ is the shell that was started, also in what runs beside it:
# one that was killed could not say that it is over.
is_over() {
  [ -e "$dir/over" ] || ! kill -0 $$ 2>/dev/null
}

# Follows the stream, again and again, until the result was told or all is over. What it comes to is shown
# and changes nothing else.
follow() {
  pause=$first_pause
  while ! is_over; do
    rm -f "$dir/came"
    : >"$dir/stream.head"
    id=''
    [ -s "$dir/id" ] && IFS= read -r id <"$dir/id"
    {
      credentials "$id" | request stream -f -N --keepalive-time 20 --max-time "$longest_stream" \
        -D "$dir/stream.head" -H 'Accept: text/plain' --data-urlencode format=text_ids \
        --data-urlencode until=result --data-urlencode "logs=$logs" 2>/dev/null &
      echo $! >"$dir/streaming"
      # Who ends us looks for a process first and says so then: one of us sees the other.
      ! is_over || kill $!
      wait $! || :
      rm -f "$dir/streaming"
    } 2>/dev/null | show || [ $? -ne 141 ] || {
      # PIPE: nobody reads what is shown.
      kill -s PIPE $$
      break
    }
    # 204: all was told already.
    if [ -e "$dir/told" ] || [ -e "$dir/mute" ] || grep -q '^HTTP/[0-9.]* 204' "$dir/stream.head"; then
      break
    fi
    # Whatever was wrong with the id, without it there is an answer.
    ! grep -q '^HTTP/[0-9.]* 400' "$dir/stream.head" || rm -f "$dir/id"
    if [ -e "$dir/came" ]; then
      pause=$first_pause
      is_over || say "the stream was cut; going on behind it"
    fi
    slept=0
    while [ "$slept" -lt "$pause" ] && ! is_over; do
      sleep 1
      slept=$((slept + 1))
    done
    pause=$((pause * 2))
    [ "$pause" -le "$last_pause" ] || pause=$last_pause
  done
}

# Ends the process whose id stands in the file $1, if one does.
end_of() {
  process=''
  [ -s "$dir/$1" ] && IFS= read -r process <"$dir/$1"
  [ -z "$process" ] || kill "$process" 2>/dev/null || :
}

# Does what is left to do for a shell that died unheard, by KILL: no request goes on for nobody, and no folder
# stays. It looks every few seconds, for no shell is told of it.
watch() {
  nap=''
  trap 'kill "$nap" 2>/dev/null; exit 0' 15
  while kill -0 $$ 2>/dev/null; do
    sleep "$look" &
    nap=$!
    wait "$nap" || :
  done
  : >"$dir/over"
  end_of asking
  end_of streaming
  sleep "$grace"
  rm -rf "$dir"
}

# Ends what runs beside us, and leaves nothing behind. A trap calls it.
# shellcheck disable=SC2317
clean() {
  trap '' 1 2 PIPE 15
  : >"$dir/over"
  [ -z "$watching" ] || kill "$watching" 2>/dev/null || :
  [ -z "$busy" ] || kill "$busy" 2>/dev/null || :
  end_of streaming
  wait
  rm -rf "$dir"
}

# Nobody may be there to hear it.
# shellcheck disable=SC2317
caught() {
  trap '' 1 2 PIPE 15
  say "stopped by a signal; the rollout itself goes on" || :
  exit "$1"
}

# Lets the stream tell the end in its own words, for a while, and tells it if it does not.
finish() {
  naps=0
  while [ ! -e "$dir/told" ] && [ "$naps" -lt "$last_words" ] && kill -0 "$following" 2>/dev/null; do
    sleep 0.2 2>/dev/null || sleep 1
    naps=$((naps + 1))
  done
  told=''
  [ ! -e "$dir/told" ] || told=yes
  : >"$dir/over"
  [ -n "$told" ] || cat "$dir/answer" 2>/dev/null || :
}

main() {
  # All of the script has come.
  trap - 0
  LC_ALL=C
  export LC_ALL
  # No word of an answer is a pattern for names of files.
  set -f
  set -u
  umask 077
  read_arguments "$@"
  check_arguments
  dir=$(mktemp -d "${TMPDIR:-/tmp}/rollcast-ci.XXXXXX") || {
    say "no folder can be made for what is in between: TMPDIR or /tmp must be one that can be written to"
    exit 2
  }
  busy='' following='' watching=''
  trap clean 0
  trap 'caught 129' 1
  trap 'caught 130' 2
  # Nobody reads what we say.
  trap 'caught 141' PIPE
  trap 'caught 143' 15
  end=$(($(date +%s) + seconds))
  longest_stream=$((seconds + slack))
  follow &
  following=$!
  # It holds neither of our outputs open for whoever reads them to their end.
  watch >/dev/null 2>&1 &
  watching=$!
  pause=$first_pause refused='' before='' said='' met=''
  while :; do
    left=$((end - $(date +%s)))
    [ "$left" -ge 0 ] || left=0
    [ "$left" -le "$longest_wait" ] || left=$longest_wait
    ask "$left"
    case $said in
      over) break ;;
      never)
        say "$server cannot be trusted: $why"
        exit 5
        ;;
      refused)
        refused=${refused:-$(date +%s)}
        if [ $(($(date +%s) - refused)) -ge "$lasts" ]; then
          say "$why"
          exit 2
        fi
        pause=$our_refusal
        ;;
      running)
        hold
        met=yes refused='' before='' pause=$first_pause
        ;;
      trouble)
        refused=''
        [ "$why" = "$before" ] || say "no verdict from $server: $why; trying again until $timeout are over"
        before=$why
        ;;
    esac
    left=$((end - $(date +%s)))
    if [ "$left" -le 0 ]; then
      case $said in
        running)
          say "there is no result after $timeout: $(sed -n 1p "$dir/answer" | plain)"
          exit 3
          ;;
        refused)
          say "$why"
          exit 2
          ;;
        *)
          say "there is no verdict after $timeout: $why"
          exit 5
          ;;
      esac
    fi
    now=$pause
    [ -z "$away" ] || [ "$away" -le "$now" ] || now=$away
    [ "$now" -le "$longest_away" ] || now=$longest_away
    [ "$now" -le "$left" ] || now=$left
    rest "$now"
    if [ "$said" = trouble ]; then
      pause=$((pause * 2))
      [ "$pause" -le "$last_pause" ] || pause=$last_pause
    fi
  done
  finish
  case "$last " in
    *" pinned=inferred "*) is_named || outcome=unknown ;;
  esac
  say "$namespace/$kind/$name: $outcome"
  case $outcome in
    succeeded) exit 0 ;;
    superseded) exit 4 ;;
    unknown) exit 5 ;;
    *) exit 1 ;;
  esac
}

main "$@"
