# shellcheck shell=bash
# Starting and ending the cluster's programs. Each is defined once (its command
# line is kept in a file), so that a test can kill one and start it again with
# the very same flags. Nothing restarts by itself.

SERVICES_DIR=$RUN/services

define_service() { # define_service NAME NODE COMMAND...
  local dir=$SERVICES_DIR/$1
  mkdir -p "$dir"
  echo "$2" >"$dir/node"
  shift 2
  printf '%s\0' "$@" >"$dir/command"
}

defined_services() {
  [ -d "$SERVICES_DIR" ] || return 0
  find "$SERVICES_DIR" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort
}

start_service() { # start_service NAME
  local name=$1 dir=$SERVICES_DIR/$1 command node
  if service_runs "$name"; then return; fi
  mapfile -d '' -t command <"$dir/command"
  node=$(cat "$dir/node")
  # A session of its own keeps a Ctrl-C in the terminal away from it; a clean
  # environment keeps out proxies and other people's settings; the locks (8, 9) are
  # not inherited, or they would be held as long as the cluster lives.
  setsid env -i PATH="$BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME="$STATE" \
    nsenter --net="/run/netns/$(netns_of "$node")" -- "${command[@]}" \
    >>"$LOGS/$name.log" 2>&1 </dev/null 8>&- 9>&- &
  echo $! >"$dir/pid"
  disown
  # Until it has entered the namespace it cannot be told from a foreign process,
  # and on a busy machine that takes a while.
  for _ in {1..500}; do
    if service_runs "$name"; then return; fi
    kill -0 "$!" 2>/dev/null || break
    sleep 0.02
  done
  say "$name ended right after its start; the end of its log:"
  tail -n 5 "$LOGS/$name.log" >&2
  return 1
}

# A pid file alone proves nothing, since pids are used again. Together with the
# network namespace it does. A zombie (nobody may be there to reap it) has
# ended, and has no namespace any more.
service_runs() {
  local dir=$SERVICES_DIR/$1 pid
  pid=$(cat "$dir/pid" 2>/dev/null) || return 1
  [ "/proc/$pid/ns/net" -ef "/run/netns/$(netns_of "$(cat "$dir/node")")" ]
}

signal_service() { # signal_service NAME SIGNAL
  service_runs "$1" || return 0
  kill -s "$2" "$(cat "$SERVICES_DIR/$1/pid")"
}

# Waits for its last thread, too: the first may be a zombie, without a namespace,
# while another still holds the port that the next program will want.
await_end_of_service() { # await_end_of_service NAME SECONDS
  local end=$((SECONDS + $2)) pid
  pid=$(cat "$SERVICES_DIR/$1/pid" 2>/dev/null) || return 0
  while service_runs "$1" || has_threads "$pid"; do
    ((SECONDS < end)) || return 1
    sleep 0.05
  done
  rm -f "$SERVICES_DIR/$1/pid"
}

# Whether a process that ends has threads that have not ended yet. The pid of one
# that was used again has a first thread that lives.
has_threads() { # has_threads PID
  local state threads
  state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null)
  threads=$(sed -n 's/^Threads:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null)
  [[ $state == [ZX] ]] && ((${threads:-0} > 1))
}

stop_service() {
  signal_service "$1" TERM
  await_end_of_service "$1" 15 || kill_service "$1"
}

kill_service() {
  signal_service "$1" KILL
  await_end_of_service "$1" 5
}

# As a supervisor would: what has ended although nobody asked for it is started
# again, and the end of its log is told, once.
start_what_ended() {
  local name
  for name in $(defined_services); do
    if service_runs "$name"; then continue; fi
    say "$name has ended and is started again; the end of its log:"
    tail -n 15 "$LOGS/$name.log" >&2
    echo "$name at $(date -u +%T)" >>"$LOGS/started-again"
    start_service "$name" || return
  done
}

# For a check that is repeated: as below, for all that were defined so far.
all_must_run() {
  local name
  for name in $(defined_services); do must_run "$name" || return; done
}

# For a check that is repeated: fails for good (2) once the program has ended.
must_run() {
  service_runs "$1" || {
    echo "$1 has ended; see $LOGS/$1.log"
    return 2
  }
}

# Waiting for something is pointless once a program has ended.
and_all_run() { all_must_run && "$@"; }
