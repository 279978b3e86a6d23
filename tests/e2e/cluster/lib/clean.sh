# shellcheck shell=bash
# Taking everything away again, whatever state it is in. Each kind of thing has
# a function that lists what is left of it, from the machine itself and not
# from our notes: `up` may have been killed before it could write any. The same
# lists are asked again at the end to prove that nothing is left.

# A step that fails must not keep the others from being done: what counts is
# what is left in the end.
clean_up() (
  set +e
  # Programs first, containers second: a kubelet would start them again.
  end_all control_plane_pids
  remember_shim_sockets
  end_all container_pids
  end_all our_pids
  remove_shim_sockets
  remove_mounts
  remove_network
  remove_cgroups
  remove_cni_results
  remove_log_links
  await_collection
  # Files last, and only if all else is gone: they hold the notes that another
  # attempt would need, and through a mount that is left, removing them would
  # reach into someone else's folder.
  if [ -z "$(leftovers_but_files)" ]; then
    restore_machine
    allow_daemons
    rm -rf --one-file-system "$STATE" "$LOGS" "$RUN"
  fi
)

leftovers() {
  leftovers_but_files
  our_files | sed 's/^/file /'
}

leftovers_but_files() {
  our_pids | while read -r pid; do
    echo "process $pid $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | cut -c1-100)"
  done
  our_mounts | sed 's/^/mount /'
  our_namespaces | sed 's/^/network namespace /'
  our_links | sed 's/^/link /'
  our_routes | sed 's/^/route /'
  our_cgroups | sed 's/^/cgroup /'
}

# --- processes ---------------------------------------------------------------

# Every process that was ended, for the last step.
ended=()

# SIGKILL at once: all state is about to be thrown away.
end_all() { # end_all LISTING-FUNCTION
  local pids
  for _ in {1..100}; do
    mapfile -t pids < <("$1")
    if ((${#pids[@]} == 0)); then return; fi
    ended+=("${pids[@]}")
    kill -s KILL "${pids[@]}" 2>/dev/null || true
    sleep 0.1
  done
  say "these processes do not end: ${pids[*]}"
}

# What has ended stays visible until init collects it; give it a moment, so that
# whoever looks afterwards finds nothing. Some containers have an init that never
# does.
await_collection() {
  local pid
  for _ in {1..30}; do
    for pid in "${ended[@]}"; do
      if [ -e "/proc/$pid" ]; then
        sleep 0.1
        continue 2
      fi
    done
    return
  done
}

# A process is ours if it is in the network of one of our nodes, if it is one of
# our programs and was given one of our paths (it may be caught before it
# entered the network), or if it runs in a container of ours.
our_pids() {
  {
    node_pids
    program_pids '*'
    container_pids
  } | sort -un
}

control_plane_pids() { program_pids '*/kube*' '*/etcd*'; }

node_pids() {
  local n ns
  for n in "${NODES[@]}"; do
    ns=/run/netns/$(netns_of "$n")
    # Before it is mounted the name is an empty file of another file system.
    mountpoint -q "$ns" || continue
    find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/net' -lname "net:\[$(stat -c %i "$ns")\]" \
      -printf '%P\n' 2>/dev/null | cut -d/ -f1
  done
}

# The executable tells what a process is, not its name, which anyone can have;
# its arguments tell whose it is. (The trailing * is for " (deleted)".) kubectl
# and helm are left out: whoever uses them on this cluster is not part of it.
program_pids() { # program_pids PATTERN...: those whose executable matches too
  local pid program pattern
  find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' \( \
    -lname '*/kube-*' -o -lname '*/kubelet*' -o -lname '*/etcd*' -o -lname '*/containerd*' \
    -o -lname '*/docker-registry*' -o -lname '*/runc*' -o -lname '*/nsenter*' \
    \) -printf '%P %l\n' 2>/dev/null | while read -r pid program; do
    pid=${pid%/exe}
    for pattern in "$@"; do
      # shellcheck disable=SC2053  # it is a pattern
      [[ $program == $pattern ]] && grep -qs -e "$RUN/" -e "$STATE/" "/proc/$pid/cmdline" && echo "$pid"
    done
  done
  true
}

container_pids() {
  our_cgroups | while read -r folder; do cat "$folder/cgroup.procs" 2>/dev/null; done | sort -un
}

# --- what containerd's shims keep outside our folders ------------------------

# Shims put their sockets into /run/containerd/s, whatever their containerd was
# told. Each notes its own in its folder; keep that until they are gone.
remember_shim_sockets() {
  [ -d "$RUN" ] || return 0
  find "$RUN" -path '*/io.containerd.runtime.v2.task/*' -name address -exec sh -c 'cat "$1" && echo' _ {} \; 2>/dev/null |
    sed -n 's|^unix://||p' >>"$RUN/shim-sockets"
}

remove_shim_sockets() {
  local socket
  [ -e "$RUN/shim-sockets" ] || return 0
  while read -r socket; do rm -f "$socket"; done <"$RUN/shim-sockets"
}

# --- mounts ------------------------------------------------------------------

our_mounts() {
  awk -v run="$RUN/" -v state="$STATE/" \
    'index($5, run) == 1 || index($5, state) == 1 { print $5 }' /proc/self/mountinfo
}

remove_mounts() {
  local point
  our_mounts | sort -r | while read -r point; do umount -l "$point"; done
}

# --- network -----------------------------------------------------------------

our_namespaces() { find /run/netns -maxdepth 1 -name 'rollcast-node-*' 2>/dev/null; }

our_links() { ip -o link show | awk -F': ' '{ sub(/@.*/, "", $2); print $2 }' | grep -E "^($BRIDGE|rollcast-n[0-9]+)$" || true; }

our_routes() {
  ip route show | grep -E "^($LAN.0/24|$PODS\.[0-9]+\.0/24|$SERVICES.0.0/16) .*dev $BRIDGE( |$)" || true
}

remove_network() {
  local name
  # Links before namespaces: removing one end of a cable removes both at once,
  # removing a namespace does so some time later.
  our_links | while read -r name; do ip link delete "$name" 2>/dev/null || true; done
  our_namespaces | while read -r name; do ip netns delete "${name##*/}" 2>/dev/null || rm -f "$name"; done
}

# --- cgroups -----------------------------------------------------------------

# Deepest first. Another containerd of this machine may use the same folder; if
# it was there before us, only what has the name of a container of ours is ours.
our_cgroups() {
  local root id
  container_cgroup_roots | while read -r root; do
    if was_absent "$root"; then
      find "$root" -depth -type d 2>/dev/null
    else
      our_container_ids | while read -r id; do find "$root/$id" -depth -type d 2>/dev/null; done
    fi
  done
}

our_container_ids() {
  find "$RUN"/node-*/io.containerd.runtime.v2.task/k8s.io "$RUN"/node-*/runc/k8s.io \
    "$STATE"/node-*/containerd/io.containerd.grpc.v1.cri/{sandboxes,containers} \
    -mindepth 1 -maxdepth 1 -type d -printf '%f\n' 2>/dev/null | sort -u
}

remove_cgroups() {
  local folder
  # A cgroup may be busy for a moment after its last process ended.
  for _ in {1..20}; do
    our_cgroups | while read -r folder; do rmdir "$folder" 2>/dev/null || true; done
    [ -n "$(our_cgroups)" ] || return 0
    sleep 0.1
  done
}

# --- files -------------------------------------------------------------------

our_log_links() { find /var/log/containers -maxdepth 1 -lname "$LOGS/*" 2>/dev/null; }

remove_log_links() { our_log_links | while read -r link; do rm -f "$link"; done; }

# One of our own network, one of the loopback, which has the same name everywhere.
our_cni_results() {
  find /var/lib/cni/results -maxdepth 1 -name 'rollcast-[0-9]*' 2>/dev/null
  our_container_ids | sed 's|.*|/var/lib/cni/results/cni-loopback-&-lo|' | while read -r file; do
    [ ! -e "$file" ] || echo "$file"
  done
}

remove_cni_results() { our_cni_results | while read -r file; do rm -f "$file"; done; }

our_files() {
  local path
  for path in "$RUN" "$STATE" "$LOGS"; do [ ! -e "$path" ] || echo "$path"; done
  our_log_links
  our_cni_results
  if grep -qs "$POLICY_MARK" "$POLICY"; then echo "$POLICY"; fi
}
