# shellcheck shell=bash
# A node: containerd, a registry, a kubelet and a kube-proxy in one namespace.

# The part of a node that does not need the API server.
start_container_runtime() {
  local n=$1
  mkdir -p "$RUN/node-$n/cni" "$STATE/node-$n"
  write_containerd_config "$n"
  write_cni_config "$n"
  write_registry_config "$n"
  define_service "containerd-$n" "$n" containerd --config "$RUN/node-$n/containerd.toml"
  define_service "registry-$n" "$n" docker-registry serve "$RUN/node-$n/registry.yml"
  start_service "containerd-$n"
  start_service "registry-$n"
}

write_containerd_config() {
  local n=$1 dir=$RUN/node-$1
  cat >"$dir/containerd.toml" <<TOML
version = 2
root = "$STATE/node-$n/containerd"
state = "$dir"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "$(containerd_socket_of "$n")"
[ttrpc]
  address = "$dir/containerd.ttrpc.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  # Lowering the score needs a capability that root in a container lacks.
  restrict_oom_score_adj = true
  # Pods' namespaces are then below our own folder, not among other people's.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$dir/runc"
      SystemdCgroup = false
TOML
}

# A cable for each pod instead of a bridge: with a bridge, answers between pods
# of one node take a short cut past kube-proxy's rules unless the kernel has
# br_netfilter. Addresses are not rewritten, for everyone has a route back.
write_cni_config() {
  local n=$1 dir=$RUN/node-$1
  cat >"$dir/cni/rollcast.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "rollcast-$n", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {
    "type": "host-local", "dataDir": "$dir/addresses",
    "ranges": [[{"subnet": "$(pod_network_of "$n")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
}

# One store for both nodes' registries: what is pushed to either, both have.
write_registry_config() {
  cat >"$RUN/node-$1/registry.yml" <<YAML
version: 0.1
storage: {filesystem: {rootdirectory: $STATE/registry}, delete: {enabled: true}}
http: {addr: "127.0.0.1:80"}
YAML
}

runtime_ready() {
  ctr --address "$(containerd_socket_of "$1")" version >/dev/null && registry_answers "$1"
}

registry_answers() {
  # shellcheck disable=SC2016  # the inner shell's variable
  in_node "$1" timeout 2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/80 && printf "GET /v2/ HTTP/1.0\r\n\r\n" >&3 && read -r line <&3 && [[ $line == *200* ]]'
}

start_node() {
  local n=$1
  kubeconfig_for "system:node:node-$n" "$RUN/node-$n/kubelet.conf" system:nodes
  write_kubelet_config "$n"
  write_kube_proxy_config "$n"
  define_service "kubelet-$n" "$n" "$BIN/kubelet" \
    --config="$RUN/node-$n/kubelet.yaml" --kubeconfig="$RUN/node-$n/kubelet.conf" \
    --hostname-override="node-$n" --node-ip="$(address_of "$n")" \
    --root-dir="$STATE/node-$n/kubelet" --cert-dir="$RUN/node-$n/pki"
  define_service "kube-proxy-$n" "$n" "$BIN/kube-proxy" --config="$RUN/node-$n/kube-proxy.yaml"
  start_service "kubelet-$n"
  start_service "kube-proxy-$n"
}

write_kubelet_config() {
  local n=$1 dir=$RUN/node-$1
  mkdir -p "$dir/static-pods" "$LOGS/node-$n"
  cat >"$dir/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(address_of "$n")
healthzBindAddress: 127.0.0.1
authentication: {x509: {clientCAFile: $PKI/ca.crt}, webhook: {enabled: true}, anonymous: {enabled: false}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$(containerd_socket_of "$n")
# Works with the old cgroup hierarchy and without systemd: no accounting for the
# node as a whole, limits of containers all the same.
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [$SERVICES.0.10]
resolvConf: ""
staticPodPath: $dir/static-pods
podLogsDir: $LOGS/node-$n
volumePluginDir: $STATE/node-$n/volume-plugins
containerLogMaxSize: ${ROLLCAST_LOG_MAX_SIZE:-10Mi}
containerLogMaxFiles: 5
containerLogMonitorInterval: 3s
maxPods: 250
# An imported image that was also pulled once, from a registry and under another
# name, counts as a pulled one by default, and is pulled again for every pod.
imagePullCredentialsVerificationPolicy: NeverVerify
# Test machines are small and full; evictions would be noise.
imageGCHighThresholdPercent: 100
evictionHard: {nodefs.available: "1%", imagefs.available: "1%", memory.available: 100Mi}
YAML
  # Crash loops take a quarter of an hour with the default back-off. The first
  # node keeps it, so that both can be tested.
  if [ "$n" = 2 ]; then
    echo "crashLoopBackOff: {maxContainerRestartPeriod: 2s}" >>"$dir/kubelet.yaml"
  fi
}

write_kube_proxy_config() {
  local n=$1
  cat >"$RUN/node-$n/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $RUN/kube-proxy.conf}
hostnameOverride: node-$n
clusterCIDR: $PODS.0.0/16
mode: iptables
# These limits belong to the machine and cannot be set from a namespace.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
YAML
}

nodes_ready() {
  # Ours by name: a test may have added simulated ones.
  [ "$(kube get nodes "${NODES[@]/#/node-}" --request-timeout=2s --no-headers | grep -cw Ready)" = "${#NODES[@]}" ] || {
    echo "nodes are not ready yet"
    return 1
  }
}

# The last things to appear: without its ServiceAccount no pod can be made, without the
# certificate of the API server none can start, and without kube-proxy's first rules no pod reaches the API server.
cluster_usable() {
  local n
  kube get serviceaccount/default configmap/kube-root-ca.crt -o name --request-timeout=2s >/dev/null || return 1
  for n in "${NODES[@]}"; do
    in_node "$n" timeout 2 bash -c "exec 3<>/dev/tcp/$SERVICES.0.1/443" || return 1
  done
  timeout 2 bash -c "exec 3<>/dev/tcp/$SERVICES.0.1/443"
}

# Everything runs and answers.
healthy() {
  # Four for the control plane, four on each node.
  [ "$(defined_services | wc -l)" = $((4 + 4 * ${#NODES[@]})) ] && all_must_run && api_ready && nodes_ready && cluster_usable
}
