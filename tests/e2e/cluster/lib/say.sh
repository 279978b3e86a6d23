# shellcheck shell=bash
# Talking to people. Everything goes to stderr: stdout carries only the result.

say() { printf 'cluster: %s\n' "$*" >&2; }

die() {
  printf 'cluster: error: %s\n' "$*" >&2
  exit 1
}

require_root() {
  [ "$(id -u)" = 0 ] || die "$1 must run as root: it makes network namespaces, mounts and cgroups"
}

# wait_for WHAT SECONDS COMMAND...: repeats COMMAND until it succeeds, or until
# it fails with status 2, which means that waiting is pointless.
# Says what it waits for at once, and again every 5 s, so that nobody has to
# guess why nothing moves. Its output is shown only if it never succeeds.
wait_for() {
  local what=$1 limit=$2 begin=$SECONDS told=$SECONDS output status
  shift 2
  say "waiting for $what"
  while true; do
    status=0
    output=$("$@" 2>&1) || status=$?
    if ((status == 0)); then return 0; fi
    if ((status == 2 || SECONDS - begin >= limit)); then
      say "gave up after $((SECONDS - begin)) s waiting for $what: $output"
      return 1
    fi
    if ((SECONDS - told >= 5)); then
      told=$SECONDS
      say "still waiting for $what ($((SECONDS - begin)) s): ${output##*$'\n'}"
    fi
    sleep 0.2
  done
}
