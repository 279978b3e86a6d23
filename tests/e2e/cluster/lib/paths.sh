# shellcheck shell=bash
# Every name and address the cluster uses. All of it is ours alone, so that
# clean-up can go by name without touching anything else on the machine.
# shellcheck disable=SC2034  # used by the files that source this one

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

# Outlives the cluster: programs that take minutes to build.
CACHE=$(readlink -m -- "${HOME:?HOME is not set}/.cache/rollcast")
BIN=$CACHE/bin

# Lives as long as the cluster.
RUN=/run/rollcast           # sockets, certificates, configuration, pids
STATE=/var/lib/rollcast     # etcd, images, volumes, the registries' blobs
LOGS=/var/log/rollcast      # NAME.log of each program, node-N/ for container logs
KUBECONFIG_ADMIN=$RUN/admin.conf

# One bridge on the machine, one network namespace for each node.
NODES=(1 2)
BRIDGE=rollcast0
LAN=10.98.0
PODS=10.244
SERVICES=10.96
API=https://$LAN.11:6443

netns_of() { echo "rollcast-node-$1"; }
veth_of() { echo "rollcast-n$1"; }
address_of() { echo "$LAN.$((10 + $1))"; }
pod_network_of() { echo "$PODS.$1.0/24"; }
containerd_socket_of() { echo "$RUN/node-$1/containerd.sock"; }

KUBERNETES_VERSION=v1.37.2
ETCD_VERSION=v3.7.3
HELM_VERSION=v4.3.1

PAUSE_IMAGE=localhost/rollcast-pause:1
WRITER_IMAGE=localhost/rollcast-writer:1
