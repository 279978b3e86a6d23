# shellcheck shell=bash
# All parts, in the order in which they build on one another.

# A root shell that came from `su` lacks the folders of ip and iptables.
PATH=$PATH:/usr/sbin:/sbin

for part in paths say machine network services images control-plane nodes clean; do
  # shellcheck disable=SC1090
  . "$(dirname -- "${BASH_SOURCE[0]}")/$part.sh"
done
unset part

# One `up` or `down` at a time. The lock lies outside of what `down` removes.
take_cluster_lock() {
  mkdir -p "$CACHE"
  exec 9>"$CACHE/cluster.lock"
  flock -n 9 || { say "another up or down is running; waiting for it" && flock 9; }
}
