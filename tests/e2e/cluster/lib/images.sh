# shellcheck shell=bash
# The images of the cluster itself: each is one static program, compiled here
# and packed into an archive, so nothing is ever pulled from outside.

make_images() {
  mkdir -p "$RUN/images/pause" "$RUN/images/writer"
  compile "$RUN/images/pause/pause" "$HERE/pause.c"
  compile "$RUN/images/writer/writer" "$HERE/../writer/writer.c"
  # The image has no shell and no folders: the writer's readiness file needs one.
  mkdir -p "$RUN/images/writer/tmp"
  chmod 1777 "$RUN/images/writer/tmp"
  pack_image "$PAUSE_IMAGE" "$RUN/images/pause" /pause "$RUN/images/pause.tar"
  pack_image "$WRITER_IMAGE" "$RUN/images/writer" /writer "$RUN/images/writer.tar"
  # On the machine the same program checks what arrived: `writer verify`.
  install -m 755 "$RUN/images/writer/writer" "$BIN/writer"
}

compile() { # compile PROGRAM SOURCE
  gcc -std=gnu11 -static -O2 -Wall -Wextra -o "$1" "$2"
}

# pack_image NAME FOLDER ENTRYPOINT ARCHIVE: a docker archive with one layer.
pack_image() {
  local name=$1 folder=$2 entrypoint=$3 archive=$4 work layer config
  work=$(mktemp -d "$RUN/images/pack.XXXXXX")
  tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$work/layer.tar" .
  layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["%s"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(dpkg --print-architecture)" "$entrypoint" "$layer" >"$work/config"
  config=$(sha256sum "$work/config" | cut -d' ' -f1)
  mv "$work/config" "$work/$config.json"
  printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$config" "$name" >"$work/manifest.json"
  tar -C "$work" -cf "$archive" manifest.json "$config.json" layer.tar
  rm -rf "$work"
}

# import_image ARCHIVE: into every node, at the same time.
import_image() {
  local n pids=() pid
  for n in "${NODES[@]}"; do
    ctr --address "$(containerd_socket_of "$n")" --namespace k8s.io images import "$1" >/dev/null &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do
    wait "$pid" || { say "could not import $1"; return 1; }
  done
}
