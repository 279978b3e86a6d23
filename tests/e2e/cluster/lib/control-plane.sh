# shellcheck shell=bash
# etcd, the API server, the controller manager and the scheduler: processes of
# their own in the first node's namespace.

PKI=$RUN/pki
ETCD_CLIENT=http://127.0.0.1:2379

# kubeadm makes the certificates only; nothing else of it is used.
make_certificates() {
  cat >"$RUN/kubeadm.yaml" <<YAML
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: $(address_of 1), bindPort: 6443}
nodeRegistration: {name: node-1, criSocket: "unix://$(containerd_socket_of 1)"}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
# Without it kubeadm asks the internet which version is current.
kubernetesVersion: $KUBERNETES_VERSION
certificatesDir: $PKI
controlPlaneEndpoint: $(address_of 1):6443
networking: {podSubnet: $PODS.0.0/16, serviceSubnet: $SERVICES.0.0/16}
# Where etcd runs is ours to say; "external" also spares its certificates.
etcd: {external: {endpoints: ["$ETCD_CLIENT"]}}
apiServer: {certSANs: [127.0.0.1, localhost]}
YAML
  "$BIN/kubeadm" init phase certs all --config "$RUN/kubeadm.yaml" >"$LOGS/kubeadm.log" 2>&1 ||
    die "kubeadm could not make certificates; see $LOGS/kubeadm.log"
  kubeconfig_for kubernetes-admin "$KUBECONFIG_ADMIN" system:masters
  kubeconfig_for system:kube-controller-manager "$RUN/controller-manager.conf"
  kubeconfig_for system:kube-scheduler "$RUN/scheduler.conf"
  kubeconfig_for system:kube-proxy "$RUN/kube-proxy.conf"
}

kubeconfig_for() { # kubeconfig_for USER FILE [GROUP]
  (
    umask 077
    "$BIN/kubeadm" kubeconfig user --config "$RUN/kubeadm.yaml" --client-name "$1" ${3:+--org "$3"} >"$2" 2>>"$LOGS/kubeadm.log"
  ) || die "kubeadm could not make $2; see $LOGS/kubeadm.log"
}

start_api() {
  define_etcd
  define_api_server
  start_service etcd
  start_service kube-apiserver
}

# Only once the API server is ready: before, it refuses them their rights.
start_controllers() {
  define_controller_manager
  define_scheduler
  start_service kube-controller-manager
  start_service kube-scheduler
}

define_etcd() {
  # Nothing here has to survive a power cut, so no write waits for the disk.
  define_service etcd 1 "$BIN/etcd" --data-dir "$STATE/etcd" --unsafe-no-fsync --logger zap \
    --listen-client-urls "$ETCD_CLIENT" --advertise-client-urls "$ETCD_CLIENT" \
    --listen-peer-urls http://127.0.0.1:2380
}

define_api_server() {
  define_service kube-apiserver 1 "$BIN/kube-apiserver" \
    --etcd-servers="$ETCD_CLIENT" \
    --advertise-address="$(address_of 1)" --secure-port=6443 \
    --service-cluster-ip-range="$SERVICES.0.0/16" \
    --allow-privileged=true \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --client-ca-file="$PKI/ca.crt" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$PKI/apiserver-kubelet-client.key" \
    --kubelet-preferred-address-types=InternalIP \
    --proxy-client-cert-file="$PKI/front-proxy-client.crt" --proxy-client-key-file="$PKI/front-proxy-client.key" \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra-
}

# A cluster of one control plane has nobody to elect a leader against; without
# the election a restarted program works at once. An API server that has just
# come up refuses for a second what it allows later: the controller manager would
# end over that (the scheduler does not).
define_controller_manager() {
  local conf=$RUN/controller-manager.conf
  define_service kube-controller-manager 1 "$BIN/kube-controller-manager" \
    --kubeconfig="$conf" --authentication-kubeconfig="$conf" --authorization-kubeconfig="$conf" \
    --client-ca-file="$PKI/ca.crt" --root-ca-file="$PKI/ca.crt" \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --service-account-private-key-file="$PKI/sa.key" --use-service-account-credentials=true \
    --leader-elect=false --bind-address=127.0.0.1 \
    --authentication-tolerate-lookup-failure=true \
    --flex-volume-plugin-dir="$STATE/volume-plugins"
}

define_scheduler() {
  local conf=$RUN/scheduler.conf
  define_service kube-scheduler 1 "$BIN/kube-scheduler" \
    --kubeconfig="$conf" --authentication-kubeconfig="$conf" --authorization-kubeconfig="$conf" \
    --leader-elect=false --bind-address=127.0.0.1
}

# KUBECONFIG may name someone's real cluster: never read it.
kube() { env -u KUBECONFIG "$BIN/kubectl" --kubeconfig "$KUBECONFIG_ADMIN" "$@"; }

api_ready() { kube get --raw /readyz --request-timeout=2s; }

# What every node needs to find in the API before it starts.
prepare_api() {
  kube apply -f - >/dev/null <<'YAML'
# Lets the API server fetch logs from kubelets. A kubelet that asks about this
# before it exists is refused, and remembers the refusal for 30 s.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: kube-apiserver-kubelet-client}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:kubelet-api-admin"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: kube-apiserver-kubelet-client}]
---
# There is no DNS, yet pods are told its usual address: without one the kubelet
# warns in an event for every pod, which real clusters do not do. A service
# without endpoints refuses at once instead of letting look-ups run into
# time-outs.
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: 10.96.0.10
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
YAML
}
