# shellcheck shell=bash
# What the cluster needs from the machine, and what it changes there for a
# while: remembered before the first change, put back by `down`.

# Debian package, and a file or command that proves that it is there.
NEEDED=(
  containerd:containerd
  runc:runc
  containernetworking-plugins:/usr/lib/cni/ptp
  docker-registry:docker-registry
  iptables:iptables
  conntrack:conntrack
  socat:socat
  ethtool:ethtool
  iproute2:ip
  e2fsprogs:mkfs.ext4
  gcc:gcc
  libc6-dev:/usr/include/stdio.h
)

missing_packages() {
  local entry
  for entry in "${NEEDED[@]}"; do
    command -v "${entry#*:}" >/dev/null || [ -e "${entry#*:}" ] || echo "${entry%%:*}"
  done
}

ensure_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then return; fi
  command -v apt-get >/dev/null || die "missing: ${missing[*]} (Debian's names); install them"
  say "installing ${missing[*]}"
  forbid_daemons
  # The first try uses the package lists as they are: fetching them again takes
  # longer than everything else and is needed only when they are old.
  install_packages "${missing[@]}" >/dev/null 2>&1 || {
    apt-get update -q >&2
    install_packages "${missing[@]}" >&2
  } || die "could not install ${missing[*]}"
  allow_daemons
}

install_packages() {
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@"
}

# The packages of containerd and docker-registry start a service each. The
# cluster starts its own, so these would only be left over; Debian asks this
# file before it starts any service during an installation.
POLICY=/usr/sbin/policy-rc.d
POLICY_MARK='written by the rollcast test cluster'

forbid_daemons() {
  [ -e "$POLICY" ] || {
    printf '#!/bin/sh\n# %s\nexit 101\n' "$POLICY_MARK" >"$POLICY"
    chmod 755 "$POLICY"
  }
}

allow_daemons() {
  if grep -qs "$POLICY_MARK" "$POLICY"; then rm -f "$POLICY"; fi
}

# Kernel settings that hold for the whole machine. The first is ours; the rest
# are set by every kubelet when it starts.
SETTINGS=(
  fs/inotify/max_user_instances
  vm/overcommit_memory
  vm/panic_on_oom
  kernel/panic
  kernel/panic_on_oops
  kernel/keys/root_maxkeys
  kernel/keys/root_maxbytes
)

# Paths outside our folders that the programs make and that cannot be moved.
OTHERS_PATHS=(
  /run/netns
  /run/xtables.lock
  /run/containerd /run/containerd/s
  /var/log/containers
  /var/lib/cni /var/lib/cni/results
  /var/lib/kubelet /var/lib/kubelet/device-plugins
  /var/lib/kubelet/device-plugins/kubelet.sock
  /var/lib/kubelet/device-plugins/kubelet_internal_checkpoint
  /run/mount
)

# containerd puts containers that a kubelet gives no place into /k8s.io of every
# hierarchy (there are many with cgroup v1).
container_cgroup_roots() { awk '$3 ~ /^cgroup2?$/ { print $2 "/k8s.io" }' /proc/mounts; }

was_absent() { grep -qsx "absent $1" "$RUN/machine-before"; }

remember_machine() {
  local path
  mkdir -p "$RUN"
  [ -e "$RUN/machine-before" ] && return
  {
    for path in "${OTHERS_PATHS[@]}" $(container_cgroup_roots); do
      [ -e "$path" ] || echo "absent $path"
    done
    for path in "${SETTINGS[@]}"; do
      [ -r "/proc/sys/$path" ] && echo "setting $path $(cat "/proc/sys/$path")"
    done
  } >"$RUN/machine-before.new"
  mv "$RUN/machine-before.new" "$RUN/machine-before"
}

# Each followed container log costs the kubelet one inotify instance; the usual
# limit of 128 for all of root is soon gone. ROLLCAST_INOTIFY_INSTANCES lets a
# test see what a real node does when they run out.
raise_limits() {
  local wanted=${ROLLCAST_INOTIFY_INSTANCES:-8192}
  echo "$wanted" >/proc/sys/fs/inotify/max_user_instances ||
    say "cannot set fs.inotify.max_user_instances to $wanted; following many logs may fail"
}

restore_machine() {
  local kind path value
  [ -e "$RUN/machine-before" ] || return 0
  while read -r kind path value; do
    if [ "$kind" = setting ] && [ "$(cat "/proc/sys/$path")" != "$value" ]; then
      echo "$value" >"/proc/sys/$path" || say "cannot put back $path to $value"
    fi
  done <"$RUN/machine-before"
  # Deepest first, and folders only if they are empty: someone else may use them
  # by now.
  { grep ^absent "$RUN/machine-before" || true; } | sort -r | while read -r _ path; do
    case $path in
      /run/netns) if mountpoint -q "$path" && [ -z "$(ls -A "$path")" ]; then umount "$path"; fi ;;
    esac
    if [ -d "$path" ]; then
      rmdir "$path" 2>/dev/null || say "kept $path: it is not empty"
    else
      rm -f "$path"
    fi
  done
}
