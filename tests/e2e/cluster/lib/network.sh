# shellcheck shell=bash
# Each node is a network namespace, joined by a cable (veth) to one bridge on
# the machine. The machine's own firewall, ports and routes stay as they are,
# except for routes to the cluster's three networks.

make_network() {
  local n
  refuse_foreign_routes
  ip link add "$BRIDGE" type bridge
  ip address add "$LAN.1/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  for n in "${NODES[@]}"; do make_node_network "$n"; done
  for n in "${NODES[@]}"; do route_to_other_nodes "$n"; done
  # Any node's kube-proxy can translate service addresses; the first one does it
  # for the machine.
  ip route add "$SERVICES.0.0/16" via "$(address_of 1)"
}

# A machine that already uses these addresses would lose its own network.
refuse_foreign_routes() {
  local prefix routes
  for prefix in "$LAN.0/24" "$PODS.0.0/16" "$SERVICES.0.0/16"; do
    routes=$(ip route show root "$prefix")
    [ -z "$routes" ] || die "this machine has a route inside $prefix, which the cluster needs: $routes"
  done
}

make_node_network() {
  local n=$1 ns veth
  ns=$(netns_of "$n")
  veth=$(veth_of "$n")
  ip netns add "$ns"
  ip link add "$veth" type veth peer name eth0 netns "$ns"
  ip link set "$veth" master "$BRIDGE" up
  ip -n "$ns" link set lo up
  ip -n "$ns" address add "$(address_of "$n")/24" dev eth0
  ip -n "$ns" link set eth0 up
  # There is no default route: nothing in the cluster can reach beyond the
  # machine, so an image or name that does not exist fails at once. Service
  # addresses need some route all the same, for the kernel looks it up before
  # kube-proxy's rules replace the address.
  ip -n "$ns" route add "$SERVICES.0.0/16" dev eth0
  in_node "$n" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  ip route add "$(pod_network_of "$n")" via "$(address_of "$n")"
}

route_to_other_nodes() {
  local n=$1 other
  for other in "${NODES[@]}"; do
    [ "$other" = "$n" ] ||
      ip -n "$(netns_of "$n")" route add "$(pod_network_of "$other")" via "$(address_of "$other")"
  done
}

# `ip netns exec` would mount a new /sys and hide the cgroups.
in_node() { # in_node N COMMAND...
  local ns
  ns=$(netns_of "$1")
  shift
  nsenter --net="/run/netns/$ns" -- "$@"
}

# Pulls the cable: both ends notice at once, and TCP goes on when it is back.
cut_node() { ip link set "$(veth_of "$1")" down; }

# A real partition: packets vanish and nobody is told. Only rules marked as ours
# are removed again.
drop_packets() {
  local chain
  for chain in "INPUT -i" "OUTPUT -o" "FORWARD -i" "FORWARD -o"; do
    # shellcheck disable=SC2086  # chain and option are two words
    in_node "$1" iptables -w -I $chain eth0 -m comment --comment rollcast-drop -j DROP
  done
}

heal_node() {
  local chain
  ip link set "$(veth_of "$1")" up
  for chain in "INPUT -i" "OUTPUT -o" "FORWARD -i" "FORWARD -o"; do
    # shellcheck disable=SC2086
    while in_node "$1" iptables -w -D $chain eth0 -m comment --comment rollcast-drop -j DROP 2>/dev/null; do :; done
  done
}
